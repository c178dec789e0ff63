//! Every attribute name, span name and status rule.
