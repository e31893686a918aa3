//! Names that nest in brackets (`items[0][price]`), as Stripe's forms and queries have them.

use serde_json::{Map, Value, json};

use super::{Spec, operation::read, property::may_be};

/// The fields with brackets, as trees of texts by the name before the first bracket; and those without.
pub(super) fn parted(fields: &[(String, String)]) -> (Map<String, Value>, Vec<&(String, String)>) {
    let (mut trees, mut plain) = (Map::new(), Vec::new());
    for field in fields {
        match field.0.split_once('[') {
            Some((head, rest)) => {
                let path: Vec<&str> = rest.trim_end_matches(']').split("][").collect();
                put(trees.entry(head).or_insert_with(|| json!({})), &path, &field.1);
            }
            None => plain.push(field),
        }
    }
    (trees, plain)
}

fn put(node: &mut Value, path: &[&str], text: &str) {
    let (Some((name, rest)), Some(fields)) = (path.split_first(), node.as_object_mut()) else {
        return;
    };
    if rest.is_empty() {
        // What is sent twice becomes what no schema of a text admits.
        let twice = fields.contains_key(*name);
        fields.insert(
            (*name).to_owned(),
            if twice { json!([text]) } else { json!(text) },
        );
    } else {
        put(fields.entry(*name).or_insert_with(|| json!({})), rest, text);
    }
}

/// A tree of texts as the values that the schemas say: numbers are read, numbered names become lists.
pub(super) fn typed(spec: &Spec, schemas: &[&Value], tree: &Value) -> Value {
    let mut leaves = Vec::new();
    for schema in schemas {
        spec.leaves(schema, &mut leaves);
    }
    let Value::Object(fields) = tree else {
        return tree
            .as_str()
            .map_or_else(|| tree.clone(), |text| read(&leaves, text));
    };
    let numbered = fields.keys().all(|name| name.parse::<usize>().is_ok());
    let lists = leaves
        .iter()
        .any(|leaf| leaf.get("items").is_some() && may_be(leaf, "array"));
    if numbered && lists {
        let items: Vec<&Value> = leaves.iter().filter_map(|leaf| leaf.get("items")).collect();
        return fields.values().map(|field| typed(spec, &items, field)).collect();
    }
    let named = fields.iter().map(|(name, field)| {
        let inner: Vec<&Value> = leaves
            .iter()
            .filter_map(|leaf| {
                let listed = leaf["properties"].get(name);
                listed.or_else(|| leaf.get("additionalProperties").filter(|it| it.is_object()))
            })
            .collect();
        (name.clone(), typed(spec, &inner, field))
    });
    Value::Object(named.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_become_what_the_schema_says() {
        let spec = Spec::new(json!({}), |_, _| Vec::new());
        let fields = [
            ("items[0][price]", "p"),
            ("items[0][quantity]", "2"),
            ("metadata[1]", "7"),
            ("name", "n"),
        ]
        .map(|(name, text)| (name.to_owned(), text.to_owned()));
        let (trees, plain) = parted(&fields);
        assert_eq!(plain, [&fields[3]]);
        let item = json!({"properties": {"price": {"type": "string"}, "quantity": {"type": "integer"}}});
        let items = json!({"anyOf": [{"type": "array", "items": item}, {"type": "string", "enum": [""]}]});
        assert_eq!(
            typed(&spec, &[&items], &trees["items"]),
            json!([{"price": "p", "quantity": 2}])
        );
        let tags = json!({"type": "object", "additionalProperties": {"type": "string"}});
        assert_eq!(typed(&spec, &[&tags], &trees["metadata"]), json!({"1": "7"}));
    }
}
