//! Plans in Twilio's words (pages `voice/twiml`, `voice/twiml/connect`, `voice/twiml/stream`, `voice/twiml/dial`,
//! `voice/twiml/say`, `voice/twiml/reject`).

use std::io::{self, Write};

use quick_xml::{
    Writer,
    events::{BytesDecl, BytesText, Event},
};
use voice_saas_core::provider::telephony::{CallPlan, WebhookAnswer};

/// What `<Say>` takes; more would fail the whole document.
const LONGEST_SAY: usize = 4096;

/// Puts a plan into TwiML.
pub(super) fn answer(plan: &CallPlan) -> WebhookAnswer {
    let body = if let CallPlan::Verbatim { body } = plan {
        body.clone()
    } else {
        let mut xml = Vec::new();
        write(plan, &mut xml).expect("memory takes whatever is written");
        String::from_utf8(xml).expect("text makes text")
    };
    WebhookAnswer {
        content_type: "text/xml",
        body,
    }
}

fn write(plan: &CallPlan, out: &mut Vec<u8>) -> io::Result<()> {
    let mut writer = Writer::new(out);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    writer
        .create_element("Response")
        .write_inner_content(|response| verbs(plan, response))?;
    Ok(())
}

fn verbs<W: Write>(plan: &CallPlan, response: &mut Writer<W>) -> io::Result<()> {
    match plan {
        CallPlan::Bridge { media_url, then } => {
            // Twilio drops the query of a stream's URL, and signs what is left.
            let mut media_url = media_url.clone();
            media_url.set_query(None);
            media_url.set_fragment(None);
            response
                .create_element("Connect")
                .with_attribute(("action", then.as_str()))
                .with_attribute(("method", "POST"))
                .write_inner_content(|connect| {
                    connect
                        .create_element("Stream")
                        .with_attribute(("url", media_url.as_str()))
                        .write_empty()
                        .map(drop)
                })?;
        }
        CallPlan::Forward { to, ring_seconds } => {
            response
                .create_element("Dial")
                .with_attribute(("answerOnBridge", "true"))
                .with_attribute(("timeout", &*ring_seconds.to_string()))
                .write_inner_content(|dial| text(dial, "Number", &[], to.as_str()))?;
        }
        CallPlan::Say {
            text: words,
            language,
        } => {
            let words: String = words
                .chars()
                .filter(|char| is_xml(*char))
                .take(LONGEST_SAY)
                .collect();
            text(response, "Say", &[("language", language)], &words)?;
            response.create_element("Hangup").write_empty()?;
        }
        CallPlan::Reject { busy } => {
            let reason = if *busy { "busy" } else { "rejected" };
            response
                .create_element("Reject")
                .with_attribute(("reason", reason))
                .write_empty()?;
        }
        // `HangUp`, and any plan of a newer core than this.
        _ => {
            response.create_element("Hangup").write_empty()?;
        }
    }
    Ok(())
}

fn text<W: Write>(
    writer: &mut Writer<W>,
    name: &str,
    attributes: &[(&str, &str)],
    text: &str,
) -> io::Result<()> {
    writer
        .create_element(name)
        .with_attributes(attributes.iter().copied())
        .write_text_content(BytesText::new(text))
        .map(drop)
}

/// Whether XML 1.0 can carry the character at all; escaping does not help the others.
fn is_xml(char: char) -> bool {
    matches!(char, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(plan: &CallPlan, verbs: &str) {
        let answer = answer(plan);
        let expected = format!(r#"<?xml version="1.0" encoding="UTF-8"?><Response>{verbs}</Response>"#);
        assert_eq!(answer.body, expected);
        assert_eq!(answer.content_type, "text/xml");
    }

    #[test]
    fn a_bridge_connects_the_stream_and_asks_again_after_it() {
        check(
            &CallPlan::Bridge {
                media_url: "wss://voice.example.com/media/tok_abc".parse().unwrap(),
                then: "https://voice.example.com/then?call=1&x='2'".parse().unwrap(),
            },
            r#"<Connect action="https://voice.example.com/then?call=1&amp;x=%272%27" method="POST"><Stream url="wss://voice.example.com/media/tok_abc"/></Connect>"#,
        );
    }

    #[test]
    fn a_streams_url_has_no_query() {
        check(
            &CallPlan::Bridge {
                media_url: "wss://voice.example.com/media/tok_abc?dropped=1#too"
                    .parse()
                    .unwrap(),
                then: "https://voice.example.com/then".parse().unwrap(),
            },
            r#"<Connect action="https://voice.example.com/then" method="POST"><Stream url="wss://voice.example.com/media/tok_abc"/></Connect>"#,
        );
    }

    #[test]
    fn a_forwarded_caller_hears_ringing_until_somebody_answers() {
        check(
            &CallPlan::Forward {
                to: "+12125550142".parse().unwrap(),
                ring_seconds: 20,
            },
            r#"<Dial answerOnBridge="true" timeout="20"><Number>+12125550142</Number></Dial>"#,
        );
    }

    #[test]
    fn what_is_said_is_escaped() {
        check(
            &CallPlan::Say {
                text: r#"<Dial> & "quotes" 'too'"#.to_owned(),
                language: r#"en"&<>'"#.to_owned(),
            },
            "<Say language=\"en&quot;&amp;&lt;&gt;&apos;\">&lt;Dial&gt; &amp; &quot;quotes&quot; &apos;too&apos;</Say>\
             <Hangup/>",
        );
    }

    #[test]
    fn what_is_said_holds_nothing_that_would_fail_the_document() {
        check(
            &CallPlan::Say {
                text: "a\0b\u{b}c\u{fffe}d\u{1f600}\n".to_owned(),
                language: "de-DE".to_owned(),
            },
            "<Say language=\"de-DE\">abcd\u{1f600}\n</Say><Hangup/>",
        );
        let endless = CallPlan::Say {
            text: "é".repeat(5000),
            language: "fr-FR".to_owned(),
        };
        assert_eq!(answer(&endless).body.matches('é').count(), 4096);
    }

    #[test]
    fn a_rejected_caller_hears_a_message_or_the_busy_tone() {
        check(&CallPlan::Reject { busy: true }, r#"<Reject reason="busy"/>"#);
        check(
            &CallPlan::Reject { busy: false },
            r#"<Reject reason="rejected"/>"#,
        );
    }

    #[test]
    fn hanging_up_is_one_verb() {
        check(&CallPlan::HangUp, "<Hangup/>");
    }

    #[test]
    fn an_agents_own_answer_is_passed_on_word_for_word() {
        let body = "<?xml version='1.0'?>\n<Response ><Connect/></Response>\n".to_owned();
        let answer = answer(&CallPlan::Verbatim { body: body.clone() });
        assert_eq!((answer.body, answer.content_type), (body, "text/xml"));
    }
}
