//! Reading TwiML as strictly as Twilio does.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Why a document cannot be executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TwimlError {
    /// Twilio's error 12100.
    #[error("not XML: {0}")]
    NotXml(String),
    /// Twilio's error 12200.
    #[error("not valid TwiML: {0}")]
    Schema(String),
}

impl TwimlError {
    /// The code in Twilio's error log.
    pub(super) fn code(&self) -> u32 {
        match self {
            Self::NotXml(_) => 12_100,
            Self::Schema(_) => 12_200,
        }
    }
}

/// One verb of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verb {
    Say(String),
    Play(String),
    Pause { seconds: u32 },
    Gather { action: Option<Target> },
    Record { action: Option<Target> },
    Connect { stream: Stream, action: Option<Target> },
    Dial { to: Vec<String>, action: Option<Target> },
    Redirect(Target),
    Reject { busy: bool },
    Hangup,
}

/// Where the next document comes from. The URL may be relative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) url: String,
    pub(super) get: bool,
}

/// `<Connect><Stream>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stream {
    pub(super) url: String,
    pub(super) name: Option<String>,
    pub(super) status_callback: Option<Target>,
    pub(super) parameters: Vec<(String, String)>,
}

/// Reads a document.
pub(super) fn parse(document: &str) -> Result<Vec<Verb>, TwimlError> {
    let root = tree(document)?;
    if root.name != "Response" {
        return Err(TwimlError::Schema(format!(
            "the root is <{}>, not <Response>",
            root.name
        )));
    }
    let verbs = root.children.iter().map(verb).collect::<Result<Vec<_>, _>>()?;
    if verbs
        .iter()
        .skip(1)
        .any(|verb| matches!(verb, Verb::Reject { .. }))
    {
        return Err(TwimlError::Schema("<Reject> may only be the first verb".into()));
    }
    Ok(verbs)
}

fn verb(element: &Element) -> Result<Verb, TwimlError> {
    Ok(match element.name.as_str() {
        "Say" => Verb::Say(element.text.trim().to_owned()),
        "Play" => Verb::Play(element.text.trim().to_owned()),
        "Pause" => {
            let seconds = element.attribute("length").map_or(Ok(1), str::parse);
            Verb::Pause {
                seconds: seconds.map_err(|_| TwimlError::Schema("length of <Pause>".into()))?,
            }
        }
        "Gather" => Verb::Gather {
            action: element.target("action", "method"),
        },
        "Record" => Verb::Record {
            action: element.target("action", "method"),
        },
        "Connect" => Verb::Connect {
            stream: stream(element)?,
            action: element.target("action", "method"),
        },
        "Dial" => dial(element)?,
        "Redirect" => Verb::Redirect(Target {
            url: element.text.trim().to_owned(),
            get: element
                .attribute("method")
                .is_some_and(|method| method.eq_ignore_ascii_case("GET")),
        }),
        "Reject" => match element.attribute("reason") {
            None | Some("rejected") => Verb::Reject { busy: false },
            Some("busy") => Verb::Reject { busy: true },
            Some(other) => return Err(TwimlError::Schema(format!("reason of <Reject>: {other}"))),
        },
        "Hangup" => Verb::Hangup,
        other => {
            return Err(TwimlError::Schema(format!(
                "<{other}> is no verb that is emulated"
            )));
        }
    })
}

fn stream(connect: &Element) -> Result<Stream, TwimlError> {
    let [stream] = connect.children.as_slice() else {
        return Err(TwimlError::Schema("<Connect> holds exactly one noun".into()));
    };
    if stream.name != "Stream" {
        return Err(TwimlError::Schema(format!(
            "<{}> in <Connect> is not emulated",
            stream.name
        )));
    }
    let url = stream
        .attribute("url")
        .ok_or_else(|| TwimlError::Schema("<Stream> without url".into()))?;
    let parameters = stream
        .children
        .iter()
        .map(|child| {
            match (
                child.name.as_str(),
                child.attribute("name"),
                child.attribute("value"),
            ) {
                ("Parameter", Some(name), Some(value)) => Ok((name.to_owned(), value.to_owned())),
                _ => Err(TwimlError::Schema(
                    "<Stream> holds only <Parameter name value>".into(),
                )),
            }
        })
        .collect::<Result<_, _>>()?;
    Ok(Stream {
        url: url.to_owned(),
        name: stream.attribute("name").map(ToOwned::to_owned),
        status_callback: stream.target("statusCallback", "statusCallbackMethod"),
        parameters,
    })
}

fn dial(element: &Element) -> Result<Verb, TwimlError> {
    let nouns = element.children.iter().map(|noun| match noun.name.as_str() {
        "Number" | "Sip" | "Client" | "Conference" => Ok(noun.text.trim().to_owned()),
        other => Err(TwimlError::Schema(format!("<{other}> in <Dial>"))),
    });
    let mut to = nouns.collect::<Result<Vec<_>, _>>()?;
    if to.is_empty() {
        to.push(element.text.trim().to_owned());
    }
    if to.iter().any(String::is_empty) {
        return Err(TwimlError::Schema("<Dial> without a number".into()));
    }
    Ok(Verb::Dial {
        to,
        action: element.target("action", "method"),
    })
}

#[derive(Debug, Default)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Element>,
    text: String,
}

impl Element {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    fn target(&self, url: &str, method: &str) -> Option<Target> {
        let url = self.attribute(url).filter(|url| !url.is_empty())?.to_owned();
        let get = self
            .attribute(method)
            .is_some_and(|method| method.eq_ignore_ascii_case("GET"));
        Some(Target { url, get })
    }
}

/// Reads the document into a tree.
fn tree(document: &str) -> Result<Element, TwimlError> {
    const DEEPEST: usize = 16;
    let not_xml = |error: String| TwimlError::NotXml(error);
    let mut reader = Reader::from_str(document);
    reader.config_mut().expand_empty_elements = true;
    let mut open: Vec<Element> = Vec::new();
    let mut root: Option<Element> = None;
    loop {
        let event = reader.read_event().map_err(|error| not_xml(error.to_string()))?;
        match event {
            Event::Start(start) => {
                if root.is_some() || open.len() >= DEEPEST {
                    return Err(not_xml("more than one root, or too deep".into()));
                }
                open.push(element(&start)?);
            }
            Event::End(_) => {
                let closed = open
                    .pop()
                    .ok_or_else(|| not_xml("an end without a start".into()))?;
                match open.last_mut() {
                    Some(parent) => parent.children.push(closed),
                    None => root = Some(closed),
                }
            }
            Event::Text(text) => {
                let text = text.decode().map_err(|error| not_xml(error.to_string()))?;
                append(&mut open, &text)?;
            }
            Event::CData(data) => {
                let text = data.decode().map_err(|error| not_xml(error.to_string()))?;
                append(&mut open, &text)?;
            }
            Event::GeneralRef(reference) => {
                let name = reference.decode().map_err(|error| not_xml(error.to_string()))?;
                let text = quick_xml::escape::unescape(&format!("&{name};"))
                    .map_err(|error| not_xml(error.to_string()))?
                    .into_owned();
                append(&mut open, &text)?;
            }
            Event::DocType(_) => return Err(not_xml("a document type is not allowed".into())),
            Event::Eof => break,
            _ => {}
        }
    }
    match root {
        Some(root) if open.is_empty() => Ok(root),
        _ => Err(not_xml("the document ends inside an element or is empty".into())),
    }
}

fn append(open: &mut [Element], text: &str) -> Result<(), TwimlError> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err(TwimlError::NotXml("text outside the root".into())),
    }
    Ok(())
}

fn element(start: &BytesStart<'_>) -> Result<Element, TwimlError> {
    let not_xml = |error: String| TwimlError::NotXml(error);
    let name = |bytes: &[u8]| {
        std::str::from_utf8(bytes)
            .map(ToOwned::to_owned)
            .map_err(|error| not_xml(error.to_string()))
    };
    let attributes = start
        .attributes()
        .map(|attribute| {
            let attribute = attribute.map_err(|error| not_xml(error.to_string()))?;
            let value = attribute
                .unescape_value()
                .map_err(|error| not_xml(error.to_string()))?;
            Ok((name(attribute.key.as_ref())?, value.into_owned()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Element {
        name: name(start.name().as_ref())?,
        attributes,
        ..Element::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_with_parameters_is_read() {
        let document = r#"<?xml version="1.0" encoding="UTF-8"?>
            <Response><Connect action="https://a.example/after?x=1&amp;y=2" method="GET">
              <Stream url="wss://a.example/media/tok" name="call-1"><Parameter name="tenant" value="t &lt;1&gt;"/></Stream>
            </Connect><Say>Bye &amp; thanks&#33;</Say><Hangup/></Response>"#;
        let verbs = parse(document).expect("valid TwiML");
        let Verb::Connect { stream, action } = &verbs[0] else {
            panic!("a connect")
        };
        assert_eq!(stream.url, "wss://a.example/media/tok");
        assert_eq!(stream.parameters, [("tenant".to_owned(), "t <1>".to_owned())]);
        assert_eq!(
            action.as_ref().map(|it| (it.url.as_str(), it.get)),
            Some(("https://a.example/after?x=1&y=2", true))
        );
        assert_eq!(verbs[1..], [Verb::Say("Bye & thanks!".into()), Verb::Hangup]);
    }

    #[test]
    fn dial_takes_text_or_nouns() {
        let text = parse("<Response><Dial>+14155550123</Dial></Response>").expect("valid TwiML");
        assert_eq!(
            text,
            [Verb::Dial {
                to: vec!["+14155550123".into()],
                action: None
            }]
        );
        let nouns = "<Response><Dial action='/after'><Number>+1</Number><Sip>sip:a@b</Sip></Dial></Response>";
        let action = Some(Target {
            url: "/after".into(),
            get: false,
        });
        assert_eq!(
            parse(nouns),
            Ok(vec![Verb::Dial {
                to: vec!["+1".into(), "sip:a@b".into()],
                action
            }])
        );
    }

    #[test]
    fn an_empty_response_has_no_verbs() {
        assert_eq!(parse("<Response/>"), Ok(vec![]));
    }

    #[track_caller]
    fn check(document: &str, code: u32) {
        assert_eq!(
            parse(document).expect_err("must be refused").code(),
            code,
            "{document}"
        );
    }

    #[test]
    fn malformed_documents_are_refused() {
        for broken in [
            "",
            "hello",
            "<Response>",
            "<Response><Say>hi</Response>",
            "<Response/><Response/>",
            "<Response><Say>a & b</Say></Response>",
            "<Response><Say>&nbsp;</Say></Response>",
            "{\"error\":1}",
        ] {
            check(broken, 12_100);
        }
        for wrong in [
            "<response/>",
            "<Response><say>hi</say></Response>",
            "<Response><Connect/></Response>",
            "<Response><Connect><Stream/></Connect></Response>",
            "<Response><Say>hi</Say><Reject/></Response>",
            "<Response><Dial></Dial></Response>",
        ] {
            check(wrong, 12_200);
        }
    }
}
