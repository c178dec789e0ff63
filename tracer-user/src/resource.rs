//! What a traced process is called: the resource of its spans. A leaf: knows nothing of the pipeline.

use std::sync::Arc;

/// A resource attribute's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A list of texts.
    List(Vec<String>),
}

/// A traced process, as its spans' resource. Shared by all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// The process.
    pub pid: u32,
    /// `service.name`, also in `attributes`.
    pub service_name: String,
    /// Every resource attribute, `service.name` included, names unique.
    pub attributes: Vec<(String, Value)>,
}

/// As it is handed around.
pub type SharedResource = Arc<Resource>;
