use reqwest::Method;
use serde_json::{Value, json};

use super::{Bench, answer};

async fn first(bench: &Bench, path: &str) -> Value {
    let (status, body) = bench.get(path).await;
    assert_eq!(status, 200, "{body}");
    body["available_phone_numbers"][0].clone()
}

fn code(answer: &super::Answer) -> (u16, u64) {
    (answer.0, answer.1["code"].as_u64().unwrap_or_default())
}

#[tokio::test]
async fn a_number_is_found_bought_configured_and_released() {
    let bench = Bench::start().await;
    let offer = first(
        &bench,
        "AvailablePhoneNumbers/US/Local.json?AreaCode=415&SmsEnabled=true&PageSize=3",
    )
    .await;
    let number = offer["phone_number"].as_str().expect("a number");
    assert!(
        number.starts_with("+1415") && offer["capabilities"]["sms"] == true,
        "{offer}"
    );
    let form = [
        ("PhoneNumber", number),
        ("FriendlyName", "saga-1"),
        ("VoiceUrl", "https://a.example/voice"),
    ];
    let (status, bought) = bench.post("IncomingPhoneNumbers.json", &form).await;
    assert_eq!(status, 201);
    assert_eq!(
        (&bought["friendly_name"], &bought["voice_method"]),
        (&json!("saga-1"), &json!("POST"))
    );

    let item = format!(
        "IncomingPhoneNumbers/{}.json",
        bought["sid"].as_str().expect("a sid")
    );
    let (status, updated) = bench
        .post(&item, &[("StatusCallback", "https://a.example/status")])
        .await;
    assert_eq!(
        (status, &updated["voice_url"]),
        (200, &json!("https://a.example/voice"))
    );
    assert_eq!(
        bench.get(&item).await.1["status_callback"],
        "https://a.example/status"
    );

    let encoded = number.replace('+', "%2B");
    let listed = bench
        .get(&format!("IncomingPhoneNumbers.json?PhoneNumber={encoded}"))
        .await
        .1;
    assert_eq!(listed["incoming_phone_numbers"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        code(&bench.post("IncomingPhoneNumbers.json", &form).await),
        (400, 21_422)
    );

    assert_eq!(answer(bench.twilio(Method::DELETE, &item)).await.0, 204);
    assert_eq!(code(&bench.get(&item).await), (404, 20_404));
    assert_eq!(bench.post("IncomingPhoneNumbers.json", &form).await.0, 201);
}

#[tokio::test]
async fn purchases_fail_with_twilios_codes() {
    let bench = Bench::start().await;
    let german = first(&bench, "AvailablePhoneNumbers/DE/Local.json?PageSize=1").await;
    let german = german["phone_number"].as_str().expect("a number");
    let cases: [(&[(&str, &str)], u64); 8] = [
        (&[("PhoneNumber", "415")], 21_421),
        (&[("PhoneNumber", "+14155559999")], 21_422),
        (&[("AreaCode", "907")], 21_452),
        (&[], 21_421),
        (&[("PhoneNumber", german)], 21_615),
        (&[("PhoneNumber", german), ("AddressSid", "AD1")], 21_649),
        (
            &[("PhoneNumber", "+14155550100"), ("VoiceUrl", "nonsense")],
            21_205,
        ),
        (&[("PhoneNumber", "+14155550100"), ("VoiceMethod", "PUT")], 20_001),
    ];
    for (form, expected) in cases {
        let refused = bench.post("IncomingPhoneNumbers.json", form).await;
        assert_eq!(code(&refused), (400, expected), "{form:?}");
    }
    let listed = bench.get("IncomingPhoneNumbers.json").await.1;
    assert_eq!(listed["incoming_phone_numbers"], json!([]));
}

#[tokio::test]
async fn a_search_knows_which_types_a_country_has() {
    let bench = Bench::start().await;
    assert_eq!(
        code(&bench.get("AvailablePhoneNumbers/US/Mobile.json").await),
        (404, 20_404)
    );
    let sold_out = bench
        .get("AvailablePhoneNumbers/US/Local.json?AreaCode=907")
        .await
        .1;
    assert_eq!(sold_out["available_phone_numbers"], json!([]));
    let mobile = first(&bench, "AvailablePhoneNumbers/GB/Mobile.json?Contains=900123").await;
    assert_eq!(mobile["phone_number"], "+447700900123");
    let country = bench.get("AvailablePhoneNumbers/US.json").await.1;
    assert!(
        country["subresource_uris"]["toll_free"].is_string()
            && country["subresource_uris"]["mobile"].is_null()
    );
}

#[tokio::test]
async fn pages_link_to_the_next_one_until_the_end() {
    let bench = Bench::start().await;
    for _ in 0..5 {
        assert_eq!(
            bench
                .post("IncomingPhoneNumbers.json", &[("AreaCode", "512")])
                .await
                .0,
            201
        );
    }
    let mut seen = Vec::new();
    let mut next = json!(bench.account("IncomingPhoneNumbers.json?PageSize=2"));
    while let Some(uri) = next.as_str() {
        assert!(uri.starts_with("/2010-04-01/"), "{uri} is relative to the host");
        let below = uri.strip_prefix(&bench.account("")).expect("below the account");
        let page = bench.get(below).await.1;
        let numbers = page["incoming_phone_numbers"].as_array().expect("an array");
        seen.extend(numbers.iter().map(|number| number["phone_number"].to_string()));
        next = page["next_page_uri"].clone();
    }
    assert_eq!(seen.len(), 5);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5, "no number stands on two pages");
}

#[tokio::test]
async fn wrong_credentials_are_refused() {
    let bench = Bench::start().await;
    let url = bench.url(&bench.account("IncomingPhoneNumbers.json"));
    let sid = bench.emulator.twilio_account_sid();
    for request in [
        bench.http.get(&url),
        bench.http.get(&url).basic_auth(sid, Some("wrong")),
    ] {
        assert_eq!(code(&answer(request).await), (401, 20_003));
    }
}

#[tokio::test]
async fn every_request_is_recorded_without_credentials() {
    let bench = Bench::start().await;
    bench
        .post("IncomingPhoneNumbers.json", &[("AreaCode", "512")])
        .await;
    let requests = bench.emulator.requests();
    let [request] = requests.as_slice() else {
        panic!("one request was sent: {requests:?}")
    };
    assert_eq!((request.method.as_str(), request.status), ("POST", Some(201)));
    assert_eq!(request.body, b"AreaCode=512");
    assert!(request.headers.iter().all(|(name, _)| name != "authorization"));
}
