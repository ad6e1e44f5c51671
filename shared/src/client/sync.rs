//! What a sync asks of a primary: sync-2 between our own nodes, the reference's wire towards others.

use reqwest::Method;
use reqwest::header::CONTENT_ENCODING;
use serde::Serialize;

use super::list::Elements;
use super::{Client, ClientError, Lines};
use crate::crypto::content_digest::is_content_digest;
use crate::wire::Id;
use crate::wire::activity::Activity;
use crate::wire::grain::Grain;
use crate::wire::slice::{MetadataPair, VersionId};
use crate::wire::subscription::Subscription;
use crate::wire::sync::{FeedQuery, PIECE_BYTES, PieceQuery, WantedGrains};

/// What a primary may list. As objects they need about 700 bytes each: 35 MiB.
const MAX_SUBSCRIPTIONS: usize = 50_000;
/// A slice's metadata: it is made by one request of at most 1 MiB.
const MAX_METADATA: usize = 4 * 1024 * 1024;

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    activity: &'a Activity,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a VersionId>,
}

impl Client {
    /// The caller's company's subscriptions with their slices.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn subscriptions(&self) -> Result<Vec<Subscription>, ClientError> {
        let answer = self.send(self.request(Method::GET, "/v1/sync/subs")).await?;
        let (mut elements, mut list) = (Elements::new(self.clone(), answer), Vec::new());
        while let Some(subscription) = elements.next().await? {
            if list.len() == MAX_SUBSCRIPTIONS {
                return Err(self.unexpected(format!("more than {MAX_SUBSCRIPTIONS} subscriptions")));
            }
            list.push(subscription);
        }
        Ok(list)
    }

    /// sync-2: a slice version, or the way to it from `have`. The first line is a
    /// [`FeedHeader`](crate::wire::sync::FeedHeader), the others are [`FeedLine`](crate::wire::sync::FeedLine)s.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn feed(&self, slice_id: Id, have: &FeedQuery) -> Result<Lines, ClientError> {
        let request = self.request(Method::GET, &format!("/v1/sync/slices/{slice_id}/feed")).query(have);
        Ok(Lines::new(self.clone(), self.send(request).await?))
    }

    /// sync-2: some grains of a version.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn wanted(&self, slice_id: Id, wanted: &WantedGrains) -> Result<Lines, ClientError> {
        let request = self.request(Method::POST, &format!("/v1/sync/slices/{slice_id}/grains")).json(wanted);
        Ok(Lines::new(self.clone(), self.send(request).await?))
    }

    /// sync-2: the piece of a long payload text that begins at `offset`, compared with its digest.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn piece(&self, slice_id: Id, grain_id: Id, query: PieceQuery) -> Result<Vec<u8>, ClientError> {
        let path = format!("/v1/sync/slices/{slice_id}/grains/{grain_id}/payload");
        let answer = self.send(self.request(Method::GET, &path).query(&query)).await?;
        let header =
            |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (digest, coding) =
            (header("content-digest").unwrap_or_default(), header(CONTENT_ENCODING.as_str()));
        let body = self.raw_body(answer, PIECE_BYTES).await?;
        if !is_content_digest(&digest, &body) {
            return Err(self.unexpected("a piece of a payload that does not give its digest"));
        }
        match coding.as_deref() {
            None | Some("identity") => Ok(body),
            Some("zstd") => zstd::bulk::decompress(&body, PIECE_BYTES)
                .map_err(|error| self.unexpected(format!("a piece that cannot be unpacked: {error}"))),
            Some(other) => Err(self.unexpected(format!("a content coding that nobody asked for: {other}"))),
        }
    }

    /// The reference's wire: all grains of a slice, meant to be ids only (the reference sends payloads too).
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn brief_grains(&self, slice_id: Id) -> Result<Vec<Grain>, ClientError> {
        let path = format!("/v1/sync/slice/{slice_id}?brief=yes");
        Ok(self.get::<Option<Vec<Grain>>>(&path).await?.unwrap_or_default())
    }

    /// The reference's wire: one grain with its payload.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn grain(&self, id: Id) -> Result<Grain, ClientError> {
        self.get(&format!("/v1/grains/{id}")).await
    }

    /// The reference's wire: a slice's metadata.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn metadata(&self, slice_id: Id) -> Result<Vec<MetadataPair>, ClientError> {
        let path = format!("/v1/slices/metadata/{slice_id}");
        let request = self.request(Method::GET, &path);
        let pairs: Option<Vec<MetadataPair>> = self.json_within(request, MAX_METADATA).await?;
        Ok(pairs.unwrap_or_default())
    }

    /// Tells the primary how it went, and which version we have now. (A server of the reference ignores that.)
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn report(&self, activity: &Activity, version: Option<&VersionId>) -> Result<(), ClientError> {
        let report = Report { activity, version };
        self.send(self.request(Method::POST, "/v1/activity").json(&report)).await.map(|_answer| ())
    }
}
