//! Plans as bytes, to be sent elsewhere; a session there has the engine. The tests run every
//! query also from a decoded copy of its plan.

use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use serde::{Deserialize, Serialize};

use crate::retrieval::{RetrievalExec, RetrievalPlan};
use crate::samples::{SamplePlan, SampleScanExec};
use crate::tables::{ListingExec, ListingPlan};

/// The nodes of this crate, as plain values.
#[derive(Serialize, Deserialize)]
enum Node {
    Samples(SamplePlan),
    Listing(ListingPlan),
    Retrieval(RetrievalPlan),
}

/// Writes and reads the plan nodes of this crate; DataFusion has its own.
#[derive(Debug)]
pub struct PlanCodec;

impl PhysicalExtensionCodec for PlanCodec {
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
            Node::Retrieval(plan) => Arc::new(RetrievalExec::new(plan)?),
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
        } else if let Some(retrieval) = node.downcast_ref::<RetrievalExec>() {
            Node::Retrieval(retrieval.plan().clone())
        } else {
            return Err(DataFusionError::NotImplemented(format!("{} as bytes", node.name())));
        };
        serde_json::to_writer(buf, &node).map_err(|error| DataFusionError::External(Box::new(error)))
    }
}
