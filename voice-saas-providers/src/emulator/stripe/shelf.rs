//! Objects by id, in the order in which they were made.

use std::collections::HashMap;

use serde_json::Value;

#[derive(Debug, Default)]
pub(super) struct Shelf {
    places: HashMap<String, usize>,
    items: Vec<Value>,
}

impl Shelf {
    /// Puts an object there by its `id`.
    pub(super) fn put(&mut self, object: Value) -> String {
        let id = object["id"].as_str().unwrap_or_default().to_owned();
        self.places.insert(id.clone(), self.items.len());
        self.items.push(object);
        id
    }

    pub(super) fn get(&self, id: &str) -> Option<&Value> {
        self.items.get(*self.places.get(id)?)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Value> {
        self.items.get_mut(*self.places.get(id)?)
    }

    /// Oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Value> {
        self.items.iter()
    }

    /// Newest first, as lists show them.
    pub(super) fn newest(&self) -> impl Iterator<Item = &Value> {
        self.items.iter().rev()
    }
}
