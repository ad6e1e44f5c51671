//! Reading a version in many small reads, however long that takes. A version never changes, so together they are one
//! snapshot, unless it was collected meanwhile: that ends the reading, and nobody takes half for all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::node::service::retention::lease;
use shared::node::{Error, Node};
use shared::store::Connection;
use shared::wire::Id;

use super::offer::require_kept;

/// Between two looks at whether the version is still the published one, or has a lease.
const LOOK: Duration = Duration::from_mins(4);

/// Somebody who reads.
pub(super) struct Reader {
    node: Arc<Node>,
    slice_id: Id,
    /// The oldest version of which he needs something.
    oldest: i64,
    looked: Instant,
}

impl Reader {
    /// Of versions of a slice from `oldest` on.
    ///
    /// # Errors
    /// [`Error::Gone`] when it is no longer kept; what the store reports.
    pub async fn of(node: &Arc<Node>, slice_id: Id, oldest: i64) -> Result<Self, Error> {
        lease(node, slice_id, oldest).await?;
        Ok(Self { node: Arc::clone(node), slice_id, oldest, looked: Instant::now() })
    }

    /// One small read.
    ///
    /// # Errors
    /// [`Error::Gone`] when the version is no longer kept; what `read` reports.
    pub async fn read<T: Send + 'static>(
        &mut self,
        read: impl FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (slice_id, oldest) = (self.slice_id, self.oldest);
        if self.looked.elapsed() > LOOK {
            lease(&self.node, slice_id, oldest).await?;
            self.looked = Instant::now();
        }
        self.node
            .store
            .read(move |conn| {
                let found = read(conn)?;
                // A version goes before its rows do: as long as it is there, nothing is missing.
                require_kept(conn, slice_id, oldest)?;
                Ok(found)
            })
            .await
    }
}
