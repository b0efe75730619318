//! A tower layer that turns every failure of an upstream call into the right answer.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod caught;
pub mod classify;
pub mod context;
pub mod failure;
mod gateway_name;
mod kind;
mod validate;

pub use self::{
    failure::{BoxError, Failure},
    gateway_name::{GatewayName, InvalidGatewayName},
    kind::FailureKind,
};
