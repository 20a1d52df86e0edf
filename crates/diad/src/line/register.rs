//! Where parts are born: each gets its number and is counted in the same breath.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use diad_core::frame::{PartKey, PartMeta, Stamp};
use diad_core::name::{CameraId, PartId, ProductName};

use super::account::Account;

/// Numbers parts, from 1 without a gap per camera. Clones number together.
#[derive(Debug, Clone)]
pub(super) struct Register {
    account: Account,
    last: Arc<Mutex<HashMap<CameraId, u64>>>,
}

/// What is known of a part when it enters.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) part: Option<PartId>,
    pub(super) product: Option<ProductName>,
    pub(super) source: Option<Arc<str>>,
    pub(super) captured: Stamp,
}

impl Register {
    pub(super) fn new(account: Account) -> Self {
        Self { account, last: Arc::default() }
    }

    /// A part enters the line.
    pub(super) fn enter(&self, camera: &CameraId, arrival: Arrival) -> PartMeta {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let seq = last.entry(camera.clone()).or_default();
        *seq += 1;
        let key = PartKey { camera: camera.clone(), seq: *seq };
        self.account.triggered();
        let Arrival { part, product, source, captured } = arrival;
        PartMeta { key, part, product, source, captured }
    }
}
