mod calls;

use serde_json::{Value, json};
use url::Url;
use voice_saas_core::provider::{
    ErrorKind, Recovery,
    voice_agent::{Binding, ConversationStatus, Variables},
};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{header, method, path, query_param, query_param_is_missing},
};

use super::*;
use crate::http::RetryPolicy;

const AGENTS: &str = "/v1/convai/agents";
const CREATE: &str = "/v1/convai/agents/create";
const AGENT_ID: &str = "agt_018f3c1e5d0f7a3b9c2d4e5f60718293";

fn builder(server: &MockServer) -> ElevenLabsBuilder {
    ElevenLabs::builder(SecretString::from("sk_test"))
        .with_base_url(Url::parse(&server.uri()).unwrap())
        .with_retry(RetryPolicy::none())
}

fn agents(server: &MockServer) -> ElevenLabs {
    builder(server).build().unwrap()
}

fn dedicated() -> AgentSpec {
    AgentSpec::new(
        AGENT_ID.parse().unwrap(),
        "Front desk",
        "Answer for {{business_name}}.",
    )
    .with_first_message("Hello {{caller_name}}, this is {{business_name}}.")
    .with_language("de-DE")
    .with_voice(Some("voice_1".to_owned()))
    .with_variables(Variables::from([(
        "business_name".to_owned(),
        json!("the office"),
    )]))
    .with_binding(Binding::Dedicated)
}

fn shared() -> AgentSpec {
    AgentSpec::new(AGENT_ID.parse().unwrap(), "Front desk", "Be kind.")
}

fn listed(agents: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200)
        .set_body_json(json!({"agents": agents, "has_more": false, "next_cursor": null}))
}

fn refused(status: u16, code: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({"detail": {"code": code, "message": "no"}}))
}

fn summary(id: &str, name: &str, created: i64) -> Value {
    json!({"agent_id": id, "name": name, "tags": [], "voice_id": "v", "created_at_unix_secs": created,
        "access_info": {}})
}

async fn on_list(server: &MockServer, search: &str, agents: Value) {
    Mock::given(method("GET"))
        .and(path(AGENTS))
        .and(query_param("search", search))
        .respond_with(listed(&agents))
        .mount(server)
        .await;
}

async fn on_create(server: &MockServer, answer: ResponseTemplate) {
    Mock::given(method("POST"))
        .and(path(CREATE))
        .respond_with(answer)
        .expect(1)
        .mount(server)
        .await;
}

fn created(id: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({"agent_id": id}))
}

async fn on_update(server: &MockServer, id: &str, answer: ResponseTemplate) {
    Mock::given(method("PATCH"))
        .and(path(format!("{AGENTS}/{id}")))
        .respond_with(answer)
        .expect(1)
        .mount(server)
        .await;
}

fn updated() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({"agent_id": "agent_1", "name": "whatever"}))
}

async fn body_sent(server: &MockServer, verb: &str) -> Value {
    let requests = server.received_requests().await.unwrap();
    let request = requests
        .iter()
        .find(|request| request.method.as_str() == verb)
        .unwrap();
    serde_json::from_slice(&request.body).unwrap()
}

#[tokio::test]
async fn the_shared_agent_lets_every_call_bring_its_own_words() {
    let server = MockServer::start().await;
    on_list(&server, SHARED_AGENT_NAME, json!([])).await;
    on_create(&server, created("agent_1")).await;
    agents(&server).warm_up().await.unwrap();
    let mut body = body_sent(&server, "POST").await;
    let prompt = body["conversation_config"]["agent"]["prompt"]["prompt"].take();
    assert!(prompt.as_str().is_some_and(|prompt| !prompt.contains("{{")));
    assert_eq!(
        body,
        json!({
            "name": "voice-saas shared agent",
            "tags": ["voice-saas"],
            "conversation_config": {
                "agent": {
                    "first_message": "",
                    "language": "en",
                    "dynamic_variables": {"dynamic_variable_placeholders":
                        {"call_id": "", "call_ref": "", "caller_number": "", "called_number": ""}},
                    "prompt": {"prompt": null},
                },
                "tts": {"agent_output_audio_format": "ulaw_8000"},
                "asr": {"user_input_audio_format": "ulaw_8000"},
                "conversation": {"client_events": ["audio", "interruption", "user_transcript", "agent_response",
                    "agent_response_correction", "conversation_initiation_metadata", "ping", "client_tool_call"]},
            },
            "platform_settings": {
                "auth": {"enable_auth": true},
                "overrides": {
                    "enable_conversation_initiation_client_data_from_webhook": false,
                    "conversation_config_override": {
                        "agent": {"first_message": true, "language": true, "prompt": {"prompt": true}},
                        "tts": {"voice_id": true},
                    },
                },
                "queueing_config": {"enabled": false},
            },
        })
    );
}

#[tokio::test]
async fn a_dedicated_agent_carries_its_own_words_and_a_default_for_every_variable() {
    let server = MockServer::start().await;
    on_list(&server, AGENT_ID, json!([])).await;
    on_create(&server, created("agent_1")).await;
    let agents = builder(&server)
        .with_llm("claude-sonnet")
        .with_speech_model("eleven_flash_v2_5")
        .with_voice("voice_default")
        .with_initiation_secret(SecretString::from("s"))
        .build()
        .unwrap();
    let id = agents.ensure_agent(&dedicated(), None).await.unwrap();
    assert_eq!(id.as_str(), "agent_1");
    let body = body_sent(&server, "POST").await;
    assert_eq!(body["name"], json!(format!("Front desk [{AGENT_ID}]")));
    assert_eq!(
        body["conversation_config"]["agent"],
        json!({
            "first_message": "Hello {{caller_name}}, this is {{business_name}}.",
            "language": "de",
            "dynamic_variables": {"dynamic_variable_placeholders": {
                "business_name": "the office", "caller_name": "",
                "call_id": "", "call_ref": "", "caller_number": "", "called_number": "",
            }},
            "prompt": {"prompt": "Answer for {{business_name}}.", "llm": "claude-sonnet"},
        })
    );
    assert_eq!(
        body["conversation_config"]["tts"],
        json!({"agent_output_audio_format": "ulaw_8000", "model_id": "eleven_flash_v2_5", "voice_id": "voice_1"})
    );
    assert_eq!(
        body["platform_settings"]["overrides"],
        json!({
            "enable_conversation_initiation_client_data_from_webhook": true,
            "conversation_config_override": {
                "agent": {"first_message": false, "language": false, "prompt": {"prompt": false}},
                "tts": {"voice_id": false},
            },
        })
    );
}

#[tokio::test]
async fn calls_that_wait_for_the_shared_agent_make_one() {
    let server = MockServer::start().await;
    on_list(&server, SHARED_AGENT_NAME, json!([])).await;
    on_create(&server, created("agent_1")).await;
    let agents = agents(&server);
    let spec = shared();
    let (first, second, third) = tokio::join!(
        agents.warm_up(),
        agents.ensure_agent(&spec, None),
        agents.ensure_agent(&spec, None)
    );
    first.unwrap();
    assert_eq!(second.unwrap(), third.unwrap());
}

#[tokio::test]
async fn the_oldest_shared_agent_is_found_by_its_exact_name_and_brought_up_to_date() {
    let server = MockServer::start().await;
    let found = json!([
        summary("agent_younger", SHARED_AGENT_NAME, 20),
        summary("agent_older", SHARED_AGENT_NAME, 10),
        summary("agent_other", "voice-saas shared agent (copy)", 1),
    ]);
    on_list(&server, SHARED_AGENT_NAME, found).await;
    on_update(&server, "agent_older", updated()).await;
    let id = agents(&server).ensure_agent(&shared(), None).await.unwrap();
    assert_eq!(id.as_str(), "agent_older");
    assert_eq!(
        body_sent(&server, "PATCH").await["name"],
        json!(SHARED_AGENT_NAME)
    );
}

#[tokio::test]
async fn a_failed_warm_up_can_be_repeated() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(refused(503, "service_unavailable"))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    on_list(&server, SHARED_AGENT_NAME, json!([])).await;
    on_create(&server, created("agent_1")).await;
    let agents = agents(&server);
    assert_eq!(agents.warm_up().await.unwrap_err().kind(), ErrorKind::ServerError);
    agents.warm_up().await.unwrap();
}

#[tokio::test]
async fn a_configured_shared_agent_is_taken_as_it_is() {
    let server = MockServer::start().await;
    let agents = builder(&server)
        .with_shared_agent(ProviderAgentId::new("agent_mine"))
        .build()
        .unwrap();
    agents.warm_up().await.unwrap();
    let id = agents.ensure_agent(&shared(), None).await.unwrap();
    assert_eq!(id.as_str(), "agent_mine");
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_known_agent_is_updated_where_it_is() {
    let server = MockServer::start().await;
    on_update(&server, "agent_7", updated()).await;
    let existing = ProviderAgentId::new("agent_7");
    let id = agents(&server)
        .ensure_agent(&dedicated(), Some(&existing))
        .await
        .unwrap();
    assert_eq!(id, existing);
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_agent_that_was_deleted_at_the_platform_is_made_again() {
    let server = MockServer::start().await;
    on_update(&server, "agent_7", refused(404, "agent_not_found")).await;
    on_list(&server, AGENT_ID, json!([])).await;
    on_create(&server, created("agent_8")).await;
    let existing = ProviderAgentId::new("agent_7");
    let id = agents(&server)
        .ensure_agent(&dedicated(), Some(&existing))
        .await
        .unwrap();
    assert_eq!(id.as_str(), "agent_8");
}

#[tokio::test]
async fn an_agent_whose_creation_was_forgotten_is_found_by_its_tag_on_any_page() {
    let server = MockServer::start().await;
    Mock::given(path(AGENTS))
        .and(query_param_is_missing("cursor"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({
            "agents": [summary("agent_1", AGENT_ID, 1), summary("agent_2", "[agt_018f3c1e5d0f7a3b9c2d4e5f60718200]", 2)],
            "has_more": true, "next_cursor": "c2",
        })))
        .mount(&server)
        .await;
    Mock::given(path(AGENTS))
        .and(query_param("cursor", "c2"))
        .and(query_param("search", AGENT_ID))
        .respond_with(listed(&json!([summary(
            "agent_3",
            &format!("Old name [{AGENT_ID}]"),
            3
        )])))
        .mount(&server)
        .await;
    on_update(&server, "agent_3", updated()).await;
    let id = agents(&server).ensure_agent(&dedicated(), None).await.unwrap();
    assert_eq!(id.as_str(), "agent_3");
}

#[tokio::test]
async fn a_creation_that_may_have_worked_is_looked_for_and_never_repeated() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(listed(&json!([])))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    let made = json!([summary("agent_9", &format!("Front desk [{AGENT_ID}]"), 1)]);
    on_list(&server, AGENT_ID, made).await;
    on_create(&server, refused(500, "internal_error")).await;
    let id = agents(&server).ensure_agent(&dedicated(), None).await.unwrap();
    assert_eq!(id.as_str(), "agent_9");
}

#[tokio::test]
async fn a_creation_that_left_nothing_behind_keeps_its_error() {
    let server = MockServer::start().await;
    on_list(&server, AGENT_ID, json!([])).await;
    on_create(&server, refused(500, "internal_error")).await;
    let error = agents(&server)
        .ensure_agent(&dedicated(), None)
        .await
        .unwrap_err();
    assert_eq!(error.recovery(), Recovery::Reconcile);
    assert_eq!(error.to_string(), "elevenlabs could not create an agent");
}

#[tokio::test]
async fn agents_are_listed_page_by_page_under_their_tags() {
    let server = MockServer::start().await;
    Mock::given(path(AGENTS))
        .and(query_param_is_missing("search"))
        .and(query_param("cursor", "c1"))
        .and(header("xi-api-key", "sk_test"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({
            "agents": [summary("agent_1", &format!("Front desk [{AGENT_ID}]"), 1), summary("agent_2", "By hand", 2)],
            "has_more": true, "next_cursor": "c2",
        })))
        .mount(&server)
        .await;
    let page = agents(&server).list_agents(Some("c1")).await.unwrap();
    let agent = |id: &str, name: &str| ProviderAgent {
        id: ProviderAgentId::new(id),
        name: name.to_owned(),
    };
    assert_eq!(
        page.items,
        [agent("agent_1", AGENT_ID), agent("agent_2", "By hand")]
    );
    assert_eq!(page.next.as_deref(), Some("c2"));
}

#[tokio::test]
async fn the_last_page_has_no_next_even_if_it_names_one() {
    let server = MockServer::start().await;
    Mock::given(path(AGENTS))
        .respond_with(
            ResponseTemplate::new(200).set_body_json(json!({"agents": [], "has_more": false,
            "next_cursor": "c9"})),
        )
        .mount(&server)
        .await;
    assert_eq!(agents(&server).list_agents(None).await.unwrap().next, None);
}

#[tokio::test]
async fn deleting_says_whether_there_was_something() {
    let server = MockServer::start().await;
    for (id, answer) in [
        ("agent_200", ResponseTemplate::new(200)),
        ("agent_204", ResponseTemplate::new(204)),
        ("agent_404", refused(404, "agent_not_found")),
        ("agent_403", refused(403, "insufficient_permissions")),
    ] {
        Mock::given(method("DELETE"))
            .and(path(format!("{AGENTS}/{id}")))
            .respond_with(answer)
            .mount(&server)
            .await;
    }
    let agents = agents(&server);
    for (id, expected) in [
        ("agent_200", Ok(Removal::Removed)),
        ("agent_204", Ok(Removal::Removed)),
        ("agent_404", Ok(Removal::AlreadyGone)),
        ("agent_403", Err(ErrorKind::Unauthorized)),
    ] {
        let outcome = agents.delete_agent(&ProviderAgentId::new(id)).await;
        assert_eq!(outcome.map_err(|error| error.kind()), expected, "{id}");
    }
}

#[tokio::test]
async fn the_agent_that_all_share_is_not_deleted() {
    let server = MockServer::start().await;
    let id = ProviderAgentId::new("agent_mine");
    let agents = builder(&server).with_shared_agent(id.clone()).build().unwrap();
    let error = agents.delete_agent(&id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_conversation_can_be_read_back() {
    let server = MockServer::start().await;
    Mock::given(path("/v1/convai/conversations/conv_1"))
        .respond_with(
            ResponseTemplate::new(200).set_body_json(json!({"conversation_id": "conv_1", "status": "done",
            "transcript": [], "metadata": {"call_duration_secs": 9, "cost_fiat": null}})),
        )
        .mount(&server)
        .await;
    Mock::given(path("/v1/convai/conversations/conv_2"))
        .respond_with(refused(404, "conversation_not_found"))
        .mount(&server)
        .await;
    let agents = agents(&server);
    let conversation = agents.conversation(&ConversationId::new("conv_1")).await.unwrap();
    assert_eq!(conversation.status, ConversationStatus::Done);
    assert_eq!(conversation.duration, Some(std::time::Duration::from_secs(9)));
    let error = agents
        .conversation(&ConversationId::new("conv_2"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.detail(), Some("conversation_not_found: no"));
}

#[test]
fn an_address_that_is_not_http_is_refused() {
    let error = ElevenLabs::builder(SecretString::from("sk_test"))
        .with_base_url(Url::parse("ftp://api.elevenlabs.io").unwrap())
        .build()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn no_secret_is_printed() {
    let server = MockServer::start().await;
    let builder = builder(&server)
        .with_webhook_secret(SecretString::from("wsec_1"))
        .with_initiation_secret(SecretString::from("knock"));
    let printed = format!("{builder:?} {:?}", agents(&server));
    for secret in ["sk_test", "wsec_1", "knock"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}
