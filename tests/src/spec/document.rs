//! One provider's OpenAPI document.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::operation::Operation;

/// Says what is wrong with an instance (the second) by a JSON Schema of draft 2020-12 (the first).
///
/// The library of the harness has no validator of its own; the tests bring one.
pub type SchemaCheck = fn(&Value, &Value) -> Vec<String>;

/// One provider's OpenAPI document, 3.0 or 3.1.
pub struct Spec {
    document: Value,
    check: SchemaCheck,
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spec")
            .field("title", &self.document["info"]["title"])
            .finish_non_exhaustive()
    }
}

impl Spec {
    /// Reads `file` in the folder that `VOICE_SAAS_SPECS` names, or says aloud that there is nothing to test against.
    ///
    /// # Panics
    /// In CI, when the variable is set and the file is not there; everywhere, when the file is no JSON.
    pub fn load(file: &str, check: SchemaCheck) -> Option<Self> {
        Self::load_unless(file, check, true)
    }

    /// The same for a document that not every folder keeps: without it, CI too says aloud what was not tested.
    ///
    /// # Panics
    /// When the file is no JSON.
    pub fn load_if_kept(file: &str, check: SchemaCheck) -> Option<Self> {
        Self::load_unless(file, check, false)
    }

    fn load_unless(file: &str, check: SchemaCheck, required: bool) -> Option<Self> {
        #[expect(
            clippy::disallowed_methods,
            reason = "where a machine keeps the specifications is no configuration of the library"
        )]
        let (folder, in_ci) = (
            std::env::var_os("VOICE_SAAS_SPECS"),
            required && std::env::var_os("CI").is_some(),
        );
        match locate(folder.map(PathBuf::from).as_deref(), file, in_ci) {
            Ok(path) => {
                let text = std::fs::read(&path).expect("the specification can be read");
                let document = serde_json::from_slice(&text).expect("the specification is JSON");
                Some(Self::new(document, check))
            }
            Err(Absence::Skip(why)) => {
                eprintln!("\n*** SKIPPED, NOT TESTED: the contract of {file}: {why} ***\n");
                None
            }
            Err(Absence::Fail(why)) => panic!("the contract of {file} cannot be tested: {why}"),
        }
    }

    /// This document.
    pub fn new(mut document: Value, check: SchemaCheck) -> Self {
        if document["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.0"))
        {
            admit_null(&mut document);
        }
        Self { document, check }
    }

    /// What a request is by the specification. A path without parameters wins over one with some.
    ///
    /// # Errors
    /// The path or its method is not in the specification.
    pub fn operation(&self, method: &str, path: &str) -> Result<Operation<'_>, String> {
        let paths = self.document["paths"].as_object().into_iter().flatten();
        let (template, item, parameters) = paths
            .filter_map(|(template, item)| Some((template, item, path_parameters(template, path)?)))
            .min_by_key(|(template, _, parameters)| (parameters.len(), Reverse(template.len())))
            .ok_or_else(|| format!("{method} {path}: no such path"))?;
        let definition = item
            .get(method.to_ascii_lowercase())
            .ok_or_else(|| format!("{method} {template}: no such method"))?;
        let declared = [item, definition]
            .into_iter()
            .filter_map(|holder| holder["parameters"].as_array())
            .flatten()
            .map(|parameter| self.resolve(parameter))
            .collect();
        Ok(Operation::new(
            self, method, template, definition, declared, parameters,
        ))
    }

    /// A schema by its name.
    ///
    /// # Panics
    /// There is none.
    pub fn schema(&self, name: &str) -> &Value {
        let schemas = &self.document["components"]["schemas"];
        schemas
            .get(name)
            .unwrap_or_else(|| panic!("the specification has no schema {name}"))
    }

    /// A sample object by its name, where the file holds samples (`resources`) and no schemas.
    ///
    /// # Panics
    /// There is none.
    pub fn sample(&self, name: &str) -> Value {
        let samples = &self.document["resources"];
        let sample = samples.get(name);
        sample
            .unwrap_or_else(|| panic!("there is no sample of {name}"))
            .clone()
    }

    /// Everything that is wrong with a JSON value by a schema of this document.
    pub fn violations(&self, schema: &Value, instance: &Value) -> Vec<String> {
        let mut found = self.violations_but_unknown(schema, instance);
        found.extend(self.unknown_properties(schema, instance));
        found
    }

    /// What JSON Schema alone says.
    pub(super) fn violations_but_unknown(&self, schema: &Value, instance: &Value) -> Vec<String> {
        let mut schemas = BTreeMap::new();
        self.collect(schema, &mut schemas);
        let whole = json!({"components": {"schemas": schemas}, "allOf": [schema]});
        (self.check)(&whole, instance)
    }

    /// The named schemas that a schema refers to, near and far. Validators take long to read all of them.
    fn collect<'a>(&'a self, node: &'a Value, schemas: &mut BTreeMap<&'a str, &'a Value>) {
        match node {
            Value::Array(items) => items.iter().for_each(|item| self.collect(item, schemas)),
            Value::Object(fields) => {
                let name = node["$ref"]
                    .as_str()
                    .and_then(|it| it.strip_prefix("#/components/schemas/"));
                if let Some(name) = name
                    && let schema = self.schema(name)
                    && schemas.insert(name, schema).is_none()
                {
                    self.collect(schema, schemas);
                }
                fields.values().for_each(|value| self.collect(value, schemas));
            }
            _ => {}
        }
    }

    /// Follows references to what they stand for.
    pub(super) fn resolve<'a>(&'a self, mut node: &'a Value) -> &'a Value {
        while let Some(reference) = node["$ref"].as_str() {
            node = reference
                .strip_prefix('#')
                .and_then(|pointer| self.document.pointer(pointer))
                .unwrap_or_else(|| panic!("{reference} points nowhere"));
        }
        node
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Absence {
    Skip(&'static str),
    Fail(&'static str),
}

/// Whoever clones the repository has no specifications. A CI job that names a folder means to test against it.
fn locate(folder: Option<&Path>, file: &str, in_ci: bool) -> Result<PathBuf, Absence> {
    let path = folder
        .ok_or(Absence::Skip("VOICE_SAAS_SPECS is not set"))?
        .join(file);
    match (path.is_file(), in_ci) {
        (true, _) => Ok(path),
        (false, true) => Err(Absence::Fail(
            "VOICE_SAAS_SPECS is set, but the file is not there",
        )),
        (false, false) => Err(Absence::Skip(
            "it is not in the folder that VOICE_SAAS_SPECS names",
        )),
    }
}

/// `nullable` of OpenAPI 3.0 in the words of JSON Schema.
fn admit_null(node: &mut Value) {
    match node {
        Value::Array(items) => items.iter_mut().for_each(admit_null),
        Value::Object(fields) => {
            fields.values_mut().for_each(admit_null);
            if fields.get("nullable") == Some(&Value::Bool(true)) {
                fields.remove("nullable");
                let schema = node.take();
                *node = json!({"anyOf": [schema, {"type": "null"}]});
            }
        }
        _ => {}
    }
}

/// What a path puts into the parameters of a template; `None` when it does not fit.
fn path_parameters<'a>(template: &'a str, path: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
    let (templates, segments) = (template.split('/'), path.split('/'));
    if templates.clone().count() != segments.clone().count() {
        return None;
    }
    let mut parameters = Vec::new();
    for (template, segment) in templates.zip(segments) {
        if let Some((before, rest)) = template.split_once('{') {
            let (name, after) = rest.split_once('}')?;
            let value = segment.strip_prefix(before)?.strip_suffix(after)?;
            parameters.push((name, value));
        } else if template != segment {
            return None;
        }
    }
    Some(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_ci_job_that_asks_for_specifications_fails_without_them() {
        let nowhere = Path::new("/nowhere");
        assert!(matches!(locate(None, "a.json", true), Err(Absence::Skip(_))));
        assert!(matches!(locate(None, "a.json", false), Err(Absence::Skip(_))));
        assert!(matches!(
            locate(Some(nowhere), "a.json", false),
            Err(Absence::Skip(_))
        ));
        assert!(matches!(
            locate(Some(nowhere), "a.json", true),
            Err(Absence::Fail(_))
        ));
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(
            locate(Some(here), "Cargo.toml", true),
            Ok(here.join("Cargo.toml"))
        );
    }

    #[test]
    fn a_path_fits_a_template_segment_by_segment() {
        for (template, path, expected) in [
            ("/a/{id}", "/a/1", Some(vec![("id", "1")])),
            (
                "/a/{A}/b/{Sid}.json",
                "/a/1/b/PN2.json",
                Some(vec![("A", "1"), ("Sid", "PN2")]),
            ),
            ("/a/{Sid}.json", "/a/PN2", None),
            ("/a/{id}", "/a/1/2", None),
            ("/a/b", "/a/b", Some(vec![])),
        ] {
            assert_eq!(path_parameters(template, path), expected, "{template} {path}");
        }
    }

    #[test]
    fn a_literal_path_wins_and_what_is_not_there_is_told() {
        let document = json!({"paths": {"/a/{id}": {"get": {}}, "/a/create": {"post": {}}}});
        let spec = Spec::new(document, |_, _| Vec::new());
        assert_eq!(spec.operation("GET", "/a/1").unwrap().template(), "/a/{id}");
        assert_eq!(
            spec.operation("POST", "/a/create").unwrap().template(),
            "/a/create"
        );
        for (method, path) in [("GET", "/a/create"), ("PUT", "/a/1"), ("GET", "/b")] {
            assert!(spec.operation(method, path).is_err(), "{method} {path}");
        }
    }

    #[test]
    fn what_is_nullable_may_be_null_whatever_else_it_is() {
        let mut schema = json!({
            "properties": {
                "nullable": {"type": "string", "enum": ["a"], "nullable": true},
                "plain": {"type": "string", "nullable": false},
            },
        });
        admit_null(&mut schema);
        assert_eq!(
            schema["properties"]["nullable"],
            json!({"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]})
        );
        assert_eq!(schema["properties"]["plain"]["type"], "string");
    }
}
