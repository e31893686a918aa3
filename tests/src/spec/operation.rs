//! One method of one path, and whether what was sent and answered is what it says.

use serde_json::{Map, Value, json};
use url::{Url, form_urlencoded};

use super::{Answer, Exchange, Spec, property::may_be};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// One method of one path, with the parameters that a path brought.
#[derive(Debug)]
pub struct Operation<'s> {
    spec: &'s Spec,
    name: String,
    template: &'s str,
    definition: &'s Value,
    declared: Vec<&'s Value>,
    path: Vec<(String, String)>,
}

impl<'s> Operation<'s> {
    pub(super) fn new(
        spec: &'s Spec,
        method: &str,
        template: &'s str,
        definition: &'s Value,
        declared: Vec<&'s Value>,
        path: Vec<(&str, &str)>,
    ) -> Self {
        Self {
            spec,
            name: format!("{method} {template}"),
            template,
            definition,
            declared,
            path: path
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }

    /// The path as the specification writes it.
    pub fn template(&self) -> &'s str {
        self.template
    }

    /// The method and the template.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Everything that is wrong with the request.
    pub fn request_violations(&self, exchange: &Exchange) -> Vec<String> {
        let query: Vec<_> = form_urlencoded::parse(exchange.query.as_bytes()).into_owned().collect();
        let mut found = self.fields("path", &self.parameters("path"), &self.path);
        found.extend(self.fields("query", &self.parameters("query"), &query));
        found.extend(self.body(exchange));
        self.named(found)
    }

    /// Everything that is wrong with a success. How refusals look is not what the specifications tell.
    pub fn answer_violations(&self, answer: &Answer) -> Vec<String> {
        if answer.status >= 400 {
            return Vec::new();
        }
        let Some(response) = self.definition["responses"].get(answer.status.to_string()) else {
            return self.named(vec![format!("no answer {}", answer.status)]);
        };
        let Some(content) = self.spec.resolve(response).get("content") else {
            return Vec::new();
        };
        let kind = essence(answer.content_type.as_deref());
        let Some(schema) = content[kind].get("schema") else {
            return self.named(vec![format!("no answer {} of type {kind:?}", answer.status)]);
        };
        if kind != JSON {
            return Vec::new();
        }
        self.named(match serde_json::from_slice(&answer.body) {
            Ok(body) => self.spec.violations(schema, &body),
            Err(error) => vec![format!("the answer is no JSON: {error}")],
        })
    }

    /// A success as the specification has it: its own example, or else the least that its schema allows.
    ///
    /// # Panics
    /// The operation declares no success.
    pub fn answer(&self) -> Answer {
        let responses = self.definition["responses"].as_object().into_iter().flatten();
        let (status, response) = responses
            .filter_map(|(status, response)| Some((status.parse().ok()?, response)))
            .find(|(status, _)| (200..300).contains(status))
            .unwrap_or_else(|| panic!("{} never succeeds", self.name));
        let Some(content) = self.spec.resolve(response)["content"].as_object() else {
            return Answer::empty(status);
        };
        let (kind, media) = content.iter().next().expect("content has a type");
        let example = media["examples"].as_object().and_then(|examples| examples.values().next());
        let body = match example {
            Some(example) => example["value"].clone(),
            None => self.spec.least(&media["schema"]),
        };
        Answer {
            status,
            content_type: Some(kind.clone()),
            body: body.to_string().into(),
        }
    }

    fn named(&self, found: Vec<String>) -> Vec<String> {
        found
            .into_iter()
            .map(|what| format!("{}: {what}", self.name))
            .collect()
    }

    /// The parameters of one place as the schema of an object.
    fn parameters(&self, place: &str) -> Value {
        let here = || self.declared.iter().filter(|parameter| parameter["in"] == place);
        let properties: Map<_, _> = here()
            .filter_map(|parameter| Some((parameter["name"].as_str()?.to_owned(), parameter["schema"].clone())))
            .collect();
        let required: Vec<_> = here()
            .filter(|parameter| parameter["required"] == true)
            .map(|parameter| &parameter["name"])
            .collect();
        json!({"type": "object", "properties": properties, "required": required})
    }

    fn body(&self, exchange: &Exchange) -> Vec<String> {
        let Some(declared) = self.definition.get("requestBody") else {
            let sent = (!exchange.body.is_empty()).then(|| "a body where none is declared".to_owned());
            return sent.into_iter().collect();
        };
        let declared = self.spec.resolve(declared);
        if exchange.body.is_empty() {
            let missing = (declared["required"] == true).then(|| "the body is missing".to_owned());
            return missing.into_iter().collect();
        }
        let kind = essence(exchange.content_type.as_deref());
        let Some(schema) = declared["content"][kind].get("schema") else {
            return vec![format!("no body of type {kind:?}")];
        };
        match kind {
            FORM => {
                let fields: Vec<_> = form_urlencoded::parse(&exchange.body).into_owned().collect();
                self.fields("form", schema, &fields)
            }
            JSON => match serde_json::from_slice(&exchange.body) {
                Ok(body) => self.spec.violations(schema, &body),
                Err(error) => vec![format!("the body is no JSON: {error}")],
            },
            _ => vec![format!("nobody knows how to read {kind:?}")],
        }
    }

    /// Names and texts against the schema of an object: each text is read as what its schema says it is.
    fn fields(&self, place: &str, schema: &Value, fields: &[(String, String)]) -> Vec<String> {
        let schema = self.spec.resolve(schema);
        let mut found = Vec::new();
        let mut object = Map::new();
        for (name, text) in fields {
            let Some(property) = schema["properties"].get(name) else {
                found.push(format!("{place} {name}: not declared"));
                continue;
            };
            let mut leaves = Vec::new();
            self.spec.leaves(property, &mut leaves);
            found.extend(
                leaves
                    .iter()
                    .filter_map(|leaf| leaf["format"].as_str())
                    .filter(|format| !has_format(format, text))
                    .map(|format| format!("{place} {name}: {text:?} is no {format}")),
            );
            let lists = leaves.iter().any(|leaf| leaf["type"] == "array");
            match object.get_mut(name) {
                Some(Value::Array(items)) if lists => items.push(json!(text)),
                Some(_) => found.push(format!("{place} {name}: sent twice")),
                None if lists => drop(object.insert(name.clone(), json!([text]))),
                None => drop(object.insert(name.clone(), read(&leaves, text))),
            }
        }
        let wrong = self.spec.violations_but_unknown(schema, &Value::Object(object));
        found.extend(wrong.into_iter().map(|what| format!("{place} {what}")));
        found
    }
}

/// A text as the first type that it can be, or as itself.
fn read(leaves: &[&Value], text: &str) -> Value {
    let number = |kind| leaves.iter().any(|leaf| leaf.get("type").is_some() && may_be(leaf, kind));
    if number("integer")
        && let Ok(number) = text.parse::<i64>()
    {
        return json!(number);
    }
    if number("number")
        && let Ok(number) = text.parse::<f64>()
    {
        return json!(number);
    }
    if number("boolean")
        && let Ok(flag) = text.parse::<bool>()
    {
        return json!(flag);
    }
    json!(text)
}

/// The formats that matter in requests; others are not looked at.
fn has_format(format: &str, text: &str) -> bool {
    match format {
        "uri" => Url::parse(text).is_ok(),
        "phone-number" => text
            .strip_prefix('+')
            .is_some_and(|digits| digits.len() > 6 && digits.bytes().all(|byte| byte.is_ascii_digit())),
        "iso-country-code" => text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()),
        _ => true,
    }
}

fn essence(content_type: Option<&str>) -> &str {
    let text = content_type.unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim()
}
