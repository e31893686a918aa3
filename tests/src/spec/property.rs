//! What a schema knows beyond what JSON Schema checks: which properties there are, and what the least value is.

use serde_json::{Map, Value, json};

use super::Spec;

const BRANCHES: [&str; 3] = ["allOf", "anyOf", "oneOf"];

impl Spec {
    /// The properties, by their JSON pointers, that no branch of the schema knows.
    pub(super) fn unknown_properties(&self, schema: &Value, instance: &Value) -> Vec<String> {
        let mut unknown = Vec::new();
        self.look(&[schema], instance, "", &mut unknown);
        unknown
    }

    fn look(&self, schemas: &[&Value], instance: &Value, at: &str, unknown: &mut Vec<String>) {
        let mut leaves = Vec::new();
        for schema in schemas {
            self.leaves(schema, &mut leaves);
        }
        match instance {
            Value::Object(fields) => {
                leaves.retain(|leaf| may_be(leaf, "object"));
                // Where nothing is said about objects, nothing is unknown; a wrong type is JSON Schema's matter.
                let open = leaves.is_empty() || leaves.iter().any(|leaf| is_open(leaf));
                for (name, value) in fields {
                    let at = format!("{at}/{name}");
                    let listed: Vec<&Value> = leaves
                        .iter()
                        .filter_map(|leaf| leaf["properties"].get(name))
                        .collect();
                    if !listed.is_empty() {
                        self.look(&listed, value, &at, unknown);
                    } else if open {
                        let others: Vec<&Value> = leaves
                            .iter()
                            .filter_map(|leaf| leaf.get("additionalProperties"))
                            .collect();
                        self.look(&others, value, &at, unknown);
                    } else {
                        unknown.push(format!("{at}: the specification knows no such property"));
                    }
                }
            }
            Value::Array(items) => {
                let schemas: Vec<&Value> = leaves.iter().filter_map(|leaf| leaf.get("items")).collect();
                for (index, item) in items.iter().enumerate() {
                    self.look(&schemas, item, &format!("{at}/{index}"), unknown);
                }
            }
            _ => {}
        }
    }

    /// The schemas that a schema is made of, references followed.
    pub(super) fn leaves<'a>(&'a self, schema: &'a Value, leaves: &mut Vec<&'a Value>) {
        let schema = self.resolve(schema);
        if leaves.iter().any(|leaf| std::ptr::eq(*leaf, schema)) {
            return;
        }
        let branches: Vec<&Value> = BRANCHES
            .iter()
            .filter_map(|keyword| schema[keyword].as_array())
            .flatten()
            .collect();
        // What only holds branches together says nothing of its own.
        if branches.is_empty() || schema.get("properties").is_some() {
            leaves.push(schema);
        }
        for branch in branches {
            self.leaves(branch, leaves);
        }
    }

    /// A value with nothing in it that the schema does not ask for.
    pub fn least(&self, schema: &Value) -> Value {
        let schema = self.resolve(schema);
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        if let Some(values) = schema["enum"].as_array() {
            return values.first().cloned().unwrap_or_default();
        }
        if let Some(parts) = schema["allOf"].as_array() {
            let mut whole = Map::new();
            for part in parts {
                match self.least(part) {
                    Value::Object(fields) => whole.extend(fields),
                    other => return other,
                }
            }
            return Value::Object(whole);
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(branch) = schema[keyword].as_array().and_then(|branches| branches.first()) {
                return self.least(branch);
            }
        }
        match type_of(schema) {
            Some("string") => json!("text"),
            Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(0)),
            Some("boolean") => json!(false),
            Some("array") => json!([]),
            Some("null") => Value::Null,
            _ => {
                let required = schema["required"].as_array().into_iter().flatten();
                required
                    .filter_map(Value::as_str)
                    .map(|name| (name.to_owned(), self.least(&schema["properties"][name])))
                    .collect::<Map<_, _>>()
                    .into()
            }
        }
    }
}

fn type_of(schema: &Value) -> Option<&str> {
    schema["type"].as_str().or_else(|| schema["type"][0].as_str())
}

/// Whether a value of this type can fit a schema without branches, as far as `type` says.
pub(super) fn may_be(schema: &Value, wanted: &str) -> bool {
    match &schema["type"] {
        Value::String(name) => name == wanted,
        Value::Array(names) => names.iter().any(|name| name == wanted),
        _ => true,
    }
}

/// A schema that lists its properties and is silent about others means these. One that lists none takes any.
fn is_open(schema: &Value) -> bool {
    match schema.get("additionalProperties") {
        Some(Value::Bool(open)) => *open,
        Some(_) => true,
        None => schema.get("properties").is_none() && *schema != Value::Bool(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        let tree = json!({"type": "object", "properties": {
            "name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}},
        }});
        Spec::new(json!({"components": {"schemas": {"Tree": tree}}}), |_, _| {
            Vec::new()
        })
    }

    #[track_caller]
    fn check(schema: &Value, instance: &Value, expected: &[&str]) {
        let unknown = spec().unknown_properties(schema, instance);
        let paths: Vec<_> = unknown.iter().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(paths, expected, "{schema} {instance}");
    }

    #[test]
    fn properties_that_no_branch_lists_are_found_at_any_depth() {
        let tree = json!({"$ref": "#/components/schemas/Tree"});
        check(
            &tree,
            &json!({"name": "a", "children": [{"nam": 1}]}),
            &["/children/0/nam"],
        );
        let either = json!({"anyOf": [tree, {"type": "null"}, {"type": "object", "properties": {"b": {}}}]});
        check(&either, &json!({"name": 1, "b": {"x": 1}, "c": 1}), &["/c"]);
        let both = json!({"allOf": [tree], "properties": {"own": {"type": "string"}}});
        check(&both, &json!({"own": 1, "name": 1, "other": 1}), &["/other"]);
    }

    #[test]
    fn an_open_object_takes_anything_but_its_values_are_looked_at() {
        check(&json!({"type": "object"}), &json!({"a": {"b": 1}}), &[]);
        check(&json!(true), &json!({"a": 1}), &[]);
        let open = json!({"properties": {"a": {}}, "additionalProperties": true});
        check(&open, &json!({"z": {"y": 1}}), &[]);
        let map = json!({"additionalProperties": {"properties": {"a": {}}}});
        check(&map, &json!({"any": {"a": 1, "b": 1}}), &["/any/b"]);
        check(
            &json!({"type": "object", "additionalProperties": false}),
            &json!({"a": 1}),
            &["/a"],
        );
    }

    #[test]
    fn the_least_value_holds_what_is_required() {
        let schema = json!({
            "type": "object", "required": ["a", "b", "c", "d"],
            "properties": {
                "a": {"type": "string"}, "b": {"enum": ["x", "y"]}, "c": {"anyOf": [{"type": "integer", "minimum": 3}]},
                "d": {"$ref": "#/components/schemas/Tree"}, "e": {"type": "string"},
            },
        });
        assert_eq!(
            spec().least(&schema),
            json!({"a": "text", "b": "x", "c": 3, "d": {}})
        );
    }
}
