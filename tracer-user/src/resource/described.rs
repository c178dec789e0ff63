//! A resource as plain data: what [`describe`](super::describe) makes, spans carry and recordings hold.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A resource attribute's value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A list of texts.
    List(Vec<String>),
}

/// A traced process, as its spans' resource. Shared by all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// The process.
    pub pid: u32,
    /// `service.name`, also in `attributes`.
    pub service_name: String,
    /// Every resource attribute, `service.name` included, names unique.
    pub attributes: Vec<(String, Value)>,
    /// It runs a Go program: goroutines move between threads, so a thread says nothing of who caused
    /// what. Of a process that may not be looked into, it is taken for none.
    pub go: bool,
}

impl Resource {
    /// A recorded one, as the user calls it now.
    pub fn with(mut self, options: &Options) -> Resource {
        if let Some(name) = &options.service_name {
            self.service_name.clone_from(name);
        }
        let name = Value::Text(self.service_name.clone());
        self.attributes.retain(|(key, _)| key != "service.name");
        self.attributes.insert(0, ("service.name".to_owned(), name));
        for (key, value) in &options.attributes {
            if self.attributes.iter().all(|(other, _)| other != key) {
                self.attributes
                    .push((key.clone(), Value::Text(value.clone())));
            }
        }
        self
    }
}

/// As it is handed around.
pub type SharedResource = Arc<Resource>;

/// What the user of the agent says of every traced process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `service.name` of all.
    pub service_name: Option<String>,
    /// Attributes of all, unless a process has its own.
    pub attributes: Vec<(String, String)>,
}
