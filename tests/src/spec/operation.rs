//! One method of one path, and whether what was sent and answered is what it says.

use serde_json::{Map, Value, json};
use url::{Url, form_urlencoded};

use super::{Answer, Exchange, Spec, nested, property::may_be};

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
        let query: Vec<_> = form_urlencoded::parse(exchange.query.as_bytes())
            .into_owned()
            .collect();
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
        let example = media["examples"]
            .as_object()
            .and_then(|examples| examples.values().next());
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
            .filter_map(|parameter| {
                Some((
                    parameter["name"].as_str()?.to_owned(),
                    parameter["schema"].clone(),
                ))
            })
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
        let (nested, plain) = nested::parted(fields);
        let mut object = Map::new();
        for (name, tree) in nested {
            let Some(property) = schema["properties"].get(&name) else {
                found.push(format!("{place} {name}: not declared"));
                continue;
            };
            let value = nested::typed(self.spec, &[property], &tree);
            let unknown = self.spec.unknown_properties(property, &value);
            found.extend(unknown.into_iter().map(|what| format!("{place} {name}{what}")));
            object.insert(name, value);
        }
        for (name, text) in plain {
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
pub(super) fn read(leaves: &[&Value], text: &str) -> Value {
    let number = |kind| {
        leaves
            .iter()
            .any(|leaf| leaf.get("type").is_some() && may_be(leaf, kind))
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check_schema(schema: &Value, instance: &Value) -> Vec<String> {
        let validator = jsonschema::validator_for(schema).unwrap();
        validator
            .iter_errors(instance)
            .map(|error| error.to_string())
            .collect()
    }

    fn spec() -> Spec {
        let thing = json!({"type": "object", "required": ["sid"], "properties": {
            "sid": {"type": "string", "pattern": "^PN[0-9]+$"}, "size": {"type": "integer", "nullable": true},
        }});
        let form = json!({"type": "object", "required": ["Url"], "properties": {
            "Url": {"type": "string", "format": "uri"}, "Method": {"type": "string", "enum": ["GET", "POST"]},
            "Event": {"type": "array", "items": {"type": "string"}},
        }});
        let reference = json!({"$ref": "#/components/schemas/Thing"});
        let answer = json!({"200": {"content": {JSON: {"schema": reference}}}});
        let sid =
            json!({"name": "Sid", "in": "path", "required": true, "schema": thing["properties"]["sid"]});
        let query = json!([
            {"name": "PageSize", "in": "query", "schema": {"type": "integer", "maximum": 10}},
            {"name": "Beta", "in": "query", "required": true, "schema": {"type": "boolean"}},
        ]);
        let document = json!({
            "openapi": "3.0.1",
            "components": {"schemas": {"Thing": thing}},
            "paths": {"/things/{Sid}.json": {
                "parameters": [sid],
                "get": {"parameters": query, "responses": answer},
                "post": {"requestBody": {"required": true, "content": {FORM: {"schema": form}}}, "responses": answer},
                "put": {"requestBody": {"content": {JSON: {"schema": reference}}}, "responses": {"204": {}}},
            }},
        });
        Spec::new(document, check_schema)
    }

    fn exchange(method: &str, path: &str, kind: &str, body: &str) -> Exchange {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        Exchange {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            content_type: (!kind.is_empty()).then(|| kind.to_owned()),
            body: body.to_owned().into(),
            answer: Answer::default(),
        }
    }

    /// Each violation holds the text expected in its place.
    #[track_caller]
    fn matches(found: &[String], expected: &[&str]) {
        let same = found.len() == expected.len();
        let same = same
            && found
                .iter()
                .zip(expected)
                .all(|(found, expected)| found.contains(expected));
        assert!(same, "{found:#?} are not {expected:?}");
    }

    #[track_caller]
    fn check(method: &str, path: &str, kind: &str, body: &str, expected: &[&str]) {
        let exchange = exchange(method, path, kind, body);
        let found = spec()
            .operation(method, &exchange.path)
            .unwrap()
            .request_violations(&exchange);
        matches(&found, expected);
    }

    #[test]
    fn parameters_are_those_that_are_declared() {
        check("GET", "/things/PN1.json?Beta=true&PageSize=10", "", "", &[]);
        check(
            "GET",
            "/things/PN1.json",
            "",
            "",
            &["\"Beta\" is a required property"],
        );
        check(
            "GET",
            "/things/CA1.json?Beta=true",
            "",
            "",
            &["path \"CA1\" does not match"],
        );
        check(
            "GET",
            "/things/PN1.json?Beta=yes&PageSize=11&Size=1",
            "",
            "",
            &[
                "query Size: not declared",
                "\"yes\" is not of type \"boolean\"",
                "11 is greater than the maximum",
            ],
        );
        check(
            "GET",
            "/things/PN1.json?Beta=true",
            JSON,
            "{}",
            &["a body where none is declared"],
        );
    }

    #[test]
    fn a_form_holds_what_is_declared() {
        let path = "/things/PN1.json";
        check(
            "POST",
            path,
            FORM,
            "Url=http%3A%2F%2Fa%2F&Method=GET&Event=a&Event=b",
            &[],
        );
        check(
            "POST",
            path,
            FORM,
            "Url=a&Url=b&Method=PUT&Urll=a",
            &[
                "\"a\" is no uri",
                "\"b\" is no uri",
                "Url: sent twice",
                "Urll: not declared",
                "\"PUT\" is not one of",
            ],
        );
        check(
            "POST",
            path,
            FORM,
            "Method=GET",
            &["\"Url\" is a required property"],
        );
        check("POST", path, "", "", &["the body is missing"]);
        check("POST", path, JSON, "{}", &["no body of type"]);
    }

    #[test]
    fn a_json_body_holds_what_is_declared() {
        let (path, kind) = ("/things/PN1.json", "application/json; charset=utf-8");
        check("PUT", path, kind, r#"{"sid": "PN1", "size": null}"#, &[]);
        check(
            "PUT",
            path,
            kind,
            r#"{"sid": "PN1", "siz": 1}"#,
            &["/siz: the specification knows no such"],
        );
        check(
            "PUT",
            path,
            kind,
            r#"{"size": 1}"#,
            &["\"sid\" is a required property"],
        );
        check("PUT", path, kind, "{", &["no JSON"]);
    }

    #[test]
    fn a_success_is_one_that_is_declared() {
        let spec = spec();
        let operation = spec.operation("GET", "/things/PN1.json").unwrap();
        let found = |answer: &Answer| operation.answer_violations(answer);
        matches(&found(&Answer::json(200, &json!({"sid": "PN1", "size": 1}))), &[]);
        matches(
            &found(&Answer::json(200, &json!({"sid": 1, "x": 1}))),
            &["1 is not of type", "/x: the spec"],
        );
        matches(
            &found(&Answer::json(201, &json!({"sid": "PN1"}))),
            &["no answer 201"],
        );
        matches(
            &found(&Answer::new(200, "text/html", "")),
            &["no answer 200 of type \"text/html\""],
        );
        matches(&found(&Answer::new(200, JSON, "<html>")), &["no JSON"]);
        matches(&found(&Answer::json(404, &json!({"whatever": 1}))), &[]);
        let answer = spec.operation("PUT", "/things/PN1.json").unwrap().answer();
        assert_eq!((answer.status, answer.body.len()), (204, 0));
    }
}
