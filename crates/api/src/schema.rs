//! JSON Schemas of everything on the wire, for publishing and for the tests that hold them still.

use schemars::{JsonSchema, Schema, generate::SchemaSettings};

use crate::{
    Acknowledged, ClearLimitRequest, DrainRequest, Envelope, ErrorEnvelope, EventView, LogChunk,
    OrderRequest, OrderResponse, Payload, Problem, QueueExplanation, QueueRequest, QueueView,
    ReportView, SendRequest, StatusView, SubmissionView, SubmitRequest, SubmitResponse, TaskDetail,
    TaskList, TaskQuery, VersionView,
};

/// Every schema with its name: answers in their envelope under their `kind`, then requests.
#[must_use]
pub fn all() -> Vec<(&'static str, Schema)> {
    vec![
        answer::<TaskList>(),
        answer::<TaskDetail>(),
        answer::<StatusView>(),
        answer::<ReportView>(),
        answer::<EventView>(),
        answer::<LogChunk>(),
        answer::<SubmitResponse>(),
        answer::<SubmissionView>(),
        answer::<OrderResponse>(),
        answer::<Acknowledged>(),
        answer::<QueueView>(),
        answer::<QueueExplanation>(),
        answer::<VersionView>(),
        ("error", written::<ErrorEnvelope>()),
        ("problem", written::<Problem>()),
        ("submit_request", read::<SubmitRequest>()),
        ("order_request", read::<OrderRequest>()),
        ("queue_request", read::<QueueRequest>()),
        ("drain_request", read::<DrainRequest>()),
        ("clear_limit_request", read::<ClearLimitRequest>()),
        ("send_request", read::<SendRequest>()),
        ("task_query", read::<TaskQuery>()),
    ]
}

fn answer<T: Payload + JsonSchema>() -> (&'static str, Schema) {
    (T::KIND, written::<Envelope<T>>())
}

/// The schema of what Longhaul writes: every field that is always there is required.
fn written<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<T>()
}

/// The schema of what Longhaul reads: fields with a default may be left out.
fn read<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12()
        .for_deserialize()
        .into_generator()
        .into_root_schema_for::<T>()
}
