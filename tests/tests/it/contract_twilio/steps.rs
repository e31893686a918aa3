//! What the adapter is made to do.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use voice_saas_core::{
    phone::{Country, E164},
    provider::{
        ErrorKind,
        telephony::{
            CallProvider, CarrierCustomer, LosingCarrier, NumberCapabilities, NumberKind, NumberOrder,
            NumberProvider, NumberQuery, NumberWebhooks, PortAddress, PortNumber, PortOrder, PortRequestId,
            PortState, ProviderCallId, ProviderCallStatus, ProviderNumberId, ProviderSubaccountId, Removal,
            RouteHandle, SipCredentials, SubaccountState, TelephonyProvider, TrunkOrder,
        },
    },
};
use voice_saas_providers::{
    emulator::{Emulator, PlaceCall, Script},
    twilio::Twilio,
};
use voice_saas_tests::spec::{Answer, Recorder};

pub(super) const CALL_OVER: &str = "CAffffffffffffffffffffffffffffffff";
pub(super) const OTHER_LIST: &str = "CLffffffffffffffffffffffffffffffff";
pub(super) const ACCOUNT_OVER: &str = "ACffffffffffffffffffffffffffffffff";

fn sid(prefix: &str) -> String {
    format!("{prefix}0123456789abcdef0123456789abcdef")
}

fn webhooks(base: &str) -> NumberWebhooks {
    let url = |path: &str| format!("{base}{path}").parse().expect("a URL");
    NumberWebhooks::new(url("/voice?tenant=t%201&a=b"), url("/fallback"), url("/status"))
}

pub(super) async fn ask_for_numbers(twilio: &Twilio) {
    let anywhere = NumberQuery::new(Country::US);
    let toll_free = anywhere.clone().with_kind(NumberKind::TollFree).with_limit(0);
    let mobile = NumberQuery::new("gb".parse().expect("a country")).with_kind(NumberKind::Mobile);
    let exact = anywhere
        .clone()
        .with_area_code("415")
        .with_contains("+1415***01#")
        .with_near("+14155550100".parse().expect("a number"), 100)
        .with_capabilities(NumberCapabilities {
            voice: true,
            sms: true,
            mms: true,
        })
        .with_limit(u16::MAX);
    for query in [anywhere, toll_free, mobile, exact] {
        twilio
            .search(&query)
            .await
            .expect("the document's example is a list of numbers");
    }
    let page = twilio
        .list(None)
        .await
        .expect("the document's example is a page of numbers");
    let number = page.items.first().expect("one number").number.clone();
    let next = format!(
        "/2010-04-01/Accounts/{}/IncomingPhoneNumbers.json?PageSize=200&Page=1&PageToken=PA1",
        super::ACCOUNT
    );
    twilio
        .list(Some(&next))
        .await
        .expect("the document's example is a page of numbers");
    let found = twilio
        .find(&number)
        .await
        .expect("the document's example is a page of numbers");
    assert_eq!(found.expect("it is on the page").number, number);

    let webhooks = webhooks("https://voice.example.com");
    for tag in [String::new(), format!("{:x<64}", "Zoë's & co = 100 % ")] {
        let order = NumberOrder::new(number.clone(), tag, webhooks.clone())
            .with_requirements(Some(sid("AD")), Some(sid("BU")));
        twilio
            .buy(&order)
            .await
            .expect("the document's example is a number");
    }
    let id = ProviderNumberId::new(sid("PN"));
    twilio.rename(&id, "another name").await.expect("it is renamed");
    twilio
        .configure(&id, &webhooks)
        .await
        .expect("the document's example is a number");
    assert_eq!(twilio.release(&id).await.expect("it goes"), Removal::Removed);
}

pub(super) async fn ask_for_calls(twilio: &Twilio) {
    let call = ProviderCallId::new(sid("CA"));
    let found = twilio
        .fetch(&call)
        .await
        .expect("the document's example is a call");
    assert_ne!(found.status, ProviderCallStatus::Unknown);
    assert_eq!(twilio.hang_up(&call).await.expect("it ends"), Removal::Removed);
    // Refused: the adapter looks at the call, which is over in the document's example.
    let over = twilio.hang_up(&ProviderCallId::new(CALL_OVER)).await;
    assert_eq!(over.expect("it was over"), Removal::AlreadyGone);
}

pub(super) async fn ask_for_subaccounts(twilio: &Twilio) {
    let accounts = twilio.subaccounts().expect("Twilio has subaccounts");
    let found = accounts
        .ensure("friendly_name")
        .await
        .expect("it is the document's example");
    let made = accounts
        .ensure("Zoë's & co = 100 % ")
        .await
        .expect("the document's example is an account");
    assert!(found.secret.is_some() && made.state == SubaccountState::Active);
    let next = "/2010-04-01/Accounts.json?PageSize=200&Page=1&PageToken=PA1";
    for page in [None, Some(next)] {
        let page = accounts
            .list(page)
            .await
            .expect("the document's example is a page of accounts");
        assert_eq!(page.items.len(), 1);
    }
    accounts.suspend(&found.id).await.expect("it is suspended");
    accounts.resume(&found.id).await.expect("it is resumed");
    assert_eq!(
        accounts.close(&found.id).await.expect("it closes"),
        Removal::Removed
    );
    // Refused: the adapter looks at the account, which is active in the document's example.
    let refused = accounts.close(&ProviderSubaccountId::new(ACCOUNT_OVER)).await;
    assert_eq!(refused.expect_err("it is refused").kind(), ErrorKind::Invalid);
}

pub(super) async fn ask_for_trunks(twilio: &Twilio) {
    let trunks = twilio.trunks().expect("Twilio has trunks");
    let number: E164 = "+18089255327"
        .parse()
        .expect("the number of the document's example");
    let order = |tag: &str, user: &str| {
        let credentials = SipCredentials::new(user, "Abcdefghijk1".into());
        TrunkOrder::new(tag, number.clone()).with_peer("acme.sip.livekit.cloud:5060", Some(credentials))
    };
    // In the examples the first is a trunk's name, the second a list's with this user; the third is nothing's.
    for (tag, user) in [
        ("friendly_name", "1440013725.28"),
        ("Low Rises", "1440013725.28"),
        ("Zoë's & co = 100 % ", "acme"),
    ] {
        let made = trunks
            .ensure(&order(tag, user))
            .await
            .expect("the document's examples are the parts of a trunk");
        assert_eq!(made.sip_host.as_deref(), Some("test.pstn.twilio.com"));
    }
    trunks
        .ensure(&order("friendly_name", "1440013725.28").without_calls_in())
        .await
        .expect("the document's examples are the parts of a trunk");
    let found = trunks
        .find("friendly_name", &number)
        .await
        .expect("the document's examples are the parts of a trunk")
        .expect("it is the document's example");
    assert!(found.complete);
    let next = "/v1/Trunks?PageSize=20&Page=1&PageToken=PA1";
    for page in [None, Some(next)] {
        trunks
            .list(page)
            .await
            .expect("the document's example is a page of trunks");
    }
    let handle = serde_json::json!({"trunk": sid("TK"), "credential_list": sid("CL")});
    let deleted = trunks.delete(&RouteHandle::new(handle)).await.expect("it goes");
    assert_eq!(deleted, Removal::Removed);
}

pub(super) async fn ask_for_requirements(twilio: &Twilio) {
    twilio
        .requirements("AU".parse().expect("a country"), NumberKind::Local)
        .await
        .expect("the documents' examples are a number and its regulations");
}

fn port_order(number: &E164) -> PortOrder {
    let address =
        PortAddress::new("1 Main St", "Boston", "MA", "02101", Country::US).with_street_2("5th floor");
    let carrier = LosingCarrier::new(
        "Acme Dental",
        CarrierCustomer::Business,
        address,
        "Ann Smith",
        "ann@example.com",
    )
    .with_account(Some("123456".into()), Some(number.clone()));
    let number = PortNumber::new(number.clone()).with_pin("4711".into());
    PortOrder::new(vec![number], carrier, vec![sid("RD")])
        .with_notify(vec!["office@example.com".into()])
        .with_target_date("2099-12-24".parse().expect("a date"))
}

pub(super) async fn ask_for_ports(twilio: &Twilio) {
    let ports = twilio.porting().expect("Twilio ports numbers");
    let number: E164 = "+16175551212"
        .parse()
        .expect("the number of the document's example");
    let portability = ports
        .portability(&number)
        .await
        .expect("the document's example is a portability");
    assert!(!portability.portable && portability.reason.is_some());
    for order in [port_order(&number), port_order(&number).with_bundle(sid("BU"))] {
        let port = ports
            .submit(&order)
            .await
            .expect("the document's example is a port");
        assert_eq!((port.state, port.numbers.len()), (PortState::Submitted, 1));
    }
    let id = PortRequestId::new(sid("KW"));
    ports.fetch(&id).await.expect("the document's example is a port");
    // The one port of the example's list is complete.
    let open = ports
        .find(&number)
        .await
        .expect("the document's example is a list of ports");
    assert_eq!(open, None);
    assert_eq!(ports.cancel(&id).await.expect("it goes"), Removal::Removed);
}

pub(super) async fn use_numbers_and_calls(emulator: &Emulator, twilio: &Twilio) {
    let answered = Arc::new(Notify::new());
    let application = application(Arc::clone(&answered)).await;

    for kind in [NumberKind::Mobile, NumberKind::TollFree] {
        let country = if kind == NumberKind::Mobile { "GB" } else { "US" };
        let query = NumberQuery::new(country.parse().expect("a country")).with_kind(kind);
        let found = twilio.search(&query).await.expect("the emulator answers");
        assert!(!found.is_empty(), "{kind:?}");
    }
    let offers = twilio
        .search(&NumberQuery::new(Country::US))
        .await
        .expect("the emulator answers");
    let number = offers.first().expect("the inventory is not empty").number.clone();
    let webhooks = webhooks(application.url().as_str().trim_end_matches('/'));
    let order = NumberOrder::new(number.clone(), "the tag", webhooks.clone());
    let bought = twilio.buy(&order).await.expect("it can be bought");
    assert_eq!(
        twilio
            .find(&number)
            .await
            .expect("an answer")
            .expect("it is ours")
            .id,
        bought.id
    );
    assert_eq!(twilio.list(None).await.expect("an answer").items.len(), 1);
    twilio.configure(&bought.id, &webhooks).await.expect("it is ours");
    twilio
        .rename(&bought.id, "another tag")
        .await
        .expect("it is ours");
    let asked = twilio
        .requirements("DE".parse().expect("a country"), NumberKind::Local)
        .await;
    assert!(!asked.expect("the emulator answers").documents.is_empty());

    let placed =
        PlaceCall::new("+14155550199", number.as_str()).with_script(Script::new().without_recording());
    let sid = emulator.place_call(placed).expect("the call is placed");
    let call = ProviderCallId::new(&sid);
    twilio.fetch(&call).await.expect("the call is known");
    answered.notified().await;
    assert_eq!(
        twilio.fetch(&call).await.expect("the call is known").status,
        ProviderCallStatus::InProgress
    );
    assert_eq!(twilio.hang_up(&call).await.expect("it ends"), Removal::Removed);
    emulator.wait_for_call(&sid).await.expect("the call is known");
    twilio.fetch(&call).await.expect("the call is known");
    emulator.advance_clock(Duration::from_hours(1));
    let over = twilio.fetch(&call).await.expect("the call is known");
    assert_eq!(over.status, ProviderCallStatus::Completed);
    assert!(over.price.is_some(), "an hour later the call has a price");
    assert_eq!(
        twilio.hang_up(&call).await.expect("it was over"),
        Removal::AlreadyGone
    );

    assert_eq!(
        twilio.release(&bought.id).await.expect("it is ours"),
        Removal::Removed
    );
    assert_eq!(
        twilio.release(&bought.id).await.expect("it was ours"),
        Removal::AlreadyGone
    );
    let gone = twilio
        .configure(&bought.id, &webhooks)
        .await
        .expect_err("it is not ours any more");
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

pub(super) async fn use_trunks(twilio: &Twilio) {
    let trunks = twilio.trunks().expect("Twilio has trunks");
    let found = twilio.search(&NumberQuery::new(Country::US)).await;
    let number = found.expect("the emulator answers").remove(0).number;
    let order = NumberOrder::new(number.clone(), "the tag", webhooks("https://voice.example.com"));
    let bought = twilio.buy(&order).await.expect("it can be bought");
    // The second time another host and another user.
    for (host, user) in [
        ("a.example", "anna"),
        ("b.example", "berta"),
        ("b.example", "berta"),
    ] {
        let credentials = SipCredentials::new(user, "Abcdefghijk1".into());
        let order = TrunkOrder::new("trk_1", number.clone()).with_peer(host, Some(credentials));
        let made = trunks.ensure(&order).await.expect("the number is ours");
        let found = trunks.find("trk_1", &number).await.expect("the emulator answers");
        assert_eq!(found, Some(made));
    }
    let mut listed = trunks.list(None).await.expect("the emulator answers").items;
    let trunk = listed.pop().expect("there is one");
    assert_eq!(
        trunks.delete(&trunk.handle).await.expect("it goes"),
        Removal::Removed
    );
    twilio.release(&bought.id).await.expect("it is ours");
}

pub(super) async fn use_subaccounts(twilio: &Twilio) {
    let accounts = twilio.subaccounts().expect("Twilio has subaccounts");
    let made = accounts.ensure("ten_1").await.expect("there is room");
    assert_eq!(accounts.ensure("ten_1").await.expect("it is there").id, made.id);
    assert_eq!(
        accounts
            .list(None)
            .await
            .expect("the emulator answers")
            .items
            .len(),
        1
    );
    accounts.suspend(&made.id).await.expect("it is suspended");
    accounts.resume(&made.id).await.expect("it is resumed");
    for removal in [Removal::Removed, Removal::AlreadyGone] {
        assert_eq!(accounts.close(&made.id).await.expect("it is closed"), removal);
    }
}

pub(super) async fn use_ports(emulator: &Emulator, twilio: &Twilio) {
    let ports = twilio.porting().expect("Twilio ports numbers");
    let number: E164 = "+16175551212".parse().expect("a number");
    assert!(
        ports
            .portability(&number)
            .await
            .expect("the emulator answers")
            .portable
    );
    let first = ports.submit(&port_order(&number)).await.expect("it is accepted");
    assert_eq!(ports.cancel(&first.id).await.expect("it goes"), Removal::Removed);
    let second = ports.submit(&port_order(&number)).await.expect("it is accepted");
    let found = ports.find(&number).await.expect("the emulator answers");
    assert_eq!(found.expect("it is open").id, second.id);
    for hours in [2, 24, 8 * 24] {
        emulator.advance_clock(Duration::from_hours(hours));
        ports.fetch(&second.id).await.expect("it is known");
    }
    let done = ports.fetch(&second.id).await.expect("it is known");
    assert_eq!(done.state, PortState::Completed);
}

/// Lets every call wait, and tells when one does: TwiML that it is sent on to is asked for within the call.
async fn application(answered: Arc<Notify>) -> Recorder {
    Recorder::answering(move |exchange| {
        let twiml = match exchange.path.as_str() {
            "/voice" => "<Response><Redirect>/wait</Redirect></Response>",
            "/wait" => {
                answered.notify_one();
                "<Response><Pause length=\"120\"/></Response>"
            }
            _ => "<Response/>",
        };
        Answer::new(200, "text/xml", twiml)
    })
    .await
}
