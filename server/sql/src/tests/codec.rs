//! Plans as bytes: every query of these tests also runs from a decoded copy of its plan.

use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::bytes::{physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec};
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use serde::{Deserialize, Serialize};

use crate::samples::{SamplePlan, SampleScanExec};
use crate::tables::{ListingExec, ListingPlan};

/// The nodes of this crate, as plain values.
#[derive(Serialize, Deserialize)]
enum Node {
    Samples(SamplePlan),
    Listing(ListingPlan),
}

#[derive(Debug)]
struct Codec;

impl PhysicalExtensionCodec for Codec {
    fn try_decode(
        &self,
        buf: &[u8],
        _inputs: &[Arc<dyn ExecutionPlan>],
        _ctx: &TaskContext,
        _converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(match serde_json::from_slice(buf).map_err(|error| DataFusionError::External(Box::new(error)))? {
            Node::Samples(plan) => Arc::new(SampleScanExec::new(plan)?),
            Node::Listing(plan) => Arc::new(ListingExec::new(plan)?),
        })
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        _converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let node = if let Some(scan) = node.downcast_ref::<SampleScanExec>() {
            Node::Samples(scan.plan().clone())
        } else if let Some(listing) = node.downcast_ref::<ListingExec>() {
            Node::Listing(listing.plan().clone())
        } else {
            return Err(DataFusionError::NotImplemented(format!("{} as bytes", node.name())));
        };
        serde_json::to_writer(buf, &node).map_err(|error| DataFusionError::External(Box::new(error)))
    }
}

/// The plan, sent through bytes.
pub(super) fn copy(plan: &Arc<dyn ExecutionPlan>, task: &TaskContext) -> Result<Arc<dyn ExecutionPlan>> {
    let bytes = physical_plan_to_bytes_with_extension_codec(Arc::clone(plan), &Codec)?;
    physical_plan_from_bytes_with_extension_codec(&bytes, task, &Codec)
}
