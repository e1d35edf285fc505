//! An answer as it came, before the SDK made types of it: the types leave out what they do not know, and evidence must not.

use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use serde_json::Value;

use crate::xml;

/// Keeps the body of the newest answer to one call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Raw(Arc<Mutex<Vec<u8>>>);

impl Raw {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The answer of a service that speaks XML.
    pub(crate) fn xml(&self) -> Answer {
        let bytes = self.take();
        Answer { size: bytes.len(), value: xml::to_json(&bytes).unwrap_or_else(|| text(&bytes)) }
    }

    /// The answer of a service that speaks JSON.
    pub(crate) fn json(&self) -> Answer {
        let bytes = self.take();
        Answer { size: bytes.len(), value: serde_json::from_slice(&bytes).unwrap_or_else(|_| text(&bytes)) }
    }
}

/// What the SDK could read and we cannot is kept as text.
fn text(bytes: &[u8]) -> Value {
    Value::String(String::from_utf8_lossy(bytes).into_owned())
}

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    /// All of it.
    pub(crate) value: Value,
    /// How many bytes it had.
    pub(crate) size: usize,
}

impl Intercept for Raw {
    fn name(&self) -> &'static str {
        "cordon-keeps-the-answer"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response().body().bytes().unwrap_or_default();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = body.to_vec();
        Ok(())
    }
}
