//! A tower layer that turns every failure of an upstream call into the right answer.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod caught;
pub mod classify;
pub mod context;
mod dialect;
pub mod failure;
pub mod format;
mod gateway_name;
mod hooks;
mod kind;
mod representation;
mod validate;

pub use self::{
    failure::{BoxError, Failure},
    gateway_name::{GatewayName, InvalidGatewayName},
    hooks::FailureEvent,
    kind::FailureKind,
};
