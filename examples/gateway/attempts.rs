//! Sending a request once, or twice where that is safe and asked for (`--retry`, with the feature `retry`).

use http::{Request, Response};
use http_body_util::Either;
use hyper::body::Incoming;
use tower::{Service, ServiceExt};
#[cfg(feature = "retry")]
use tower::{ServiceBuilder, retry::RetryLayer, util};
use tower_bad_gateway::BoxError;
#[cfg(feature = "retry")]
use tower_bad_gateway::{Failure, retry};

use crate::Upload;

#[cfg(feature = "retry")]
type Repeated = retry::ReplayBody<Upload>;
#[cfg(not(feature = "retry"))]
type Repeated = Upload;
/// The body of one attempt: the only one, or one of two.
type Attempt = Either<Upload, Repeated>;

/// Sends requests to `upstream`: with `repeats` by a policy that repeats some.
pub(crate) fn of<S>(
    repeats: bool,
    upstream: S,
) -> impl Service<
    Request<Upload>,
    Response = Response<Incoming>,
    Error = BoxError,
    Future = impl Future<Output = Result<Response<Incoming>, BoxError>> + Send,
> + Clone
+ Send
+ use<S>
where
    S: Service<Request<Attempt>, Response = Response<Incoming>, Error = BoxError, Future: Send>,
    S: Clone + Send + 'static,
{
    #[cfg(feature = "retry")]
    if repeats {
        let repeated = ServiceBuilder::new()
            .map_request(|request: Request<Upload>| request.map(Repeated::new))
            .map_err(BoxError::from)
            .layer(RetryLayer::new(retry::RetryPolicy::new()))
            .map_err(Failure::from_error)
            .map_request(|request: Request<Repeated>| request.map(Either::Right))
            .service(upstream);
        return util::Either::Left(repeated);
    }
    #[cfg(not(feature = "retry"))]
    let _ = repeats;
    let once = upstream.map_request(|request: Request<Upload>| request.map(Either::Left));
    #[cfg(feature = "retry")]
    let once = util::Either::Right(once);
    once
}
