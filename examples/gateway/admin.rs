//! What orchestrators and Prometheus ask, on an address of its own: however many clients there are, it answers.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};

use crate::{front::Front, log::Dropped};

/// How many ask at once.
const MOST: usize = 64;
/// How long one may take, from its first byte to the last of the answer.
const TIME: Duration = Duration::from_secs(10);

/// Serves `/-/live`, `/-/ready` and `/metrics` for ever.
pub(crate) async fn serve(listener: TcpListener, front: Arc<Front>, dropped: Dropped, metrics: PrometheusHandle) {
    let permits = Arc::new(Semaphore::new(MOST));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (front, dropped, metrics) = (Arc::clone(&front), dropped.clone(), metrics.clone());
        tokio::spawn(async move {
            let _permit = permit;
            let answer = service_fn(|request| {
                std::future::ready(Ok::<_, Infallible>(answer(&request, &front, &dropped, &metrics)))
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), answer);
            // An error means that the other side has left, and was owed nothing.
            let _ = timeout(TIME, connection).await;
        });
    }
}

fn answer(
    request: &Request<Incoming>,
    front: &Front,
    dropped: &Dropped,
    metrics: &PrometheusHandle,
) -> Response<Full<Bytes>> {
    if let Some(own) = front.own(request) {
        return own;
    }
    let mut response = Response::new(Full::default());
    if request.uri().path() == "/metrics" {
        metrics::gauge!("gateway_connections").set(to_float(front.connections.load(Relaxed)));
        for (status, count) in front.ended() {
            metrics::counter!("gateway_requests_total", "status" => status.to_string()).absolute(count);
        }
        metrics::counter!("gateway_log_lines_dropped_total").absolute(dropped.count());
        *response.body_mut() = metrics.render().into();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    } else {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}

/// Connections are fewer than a `f64` can count.
fn to_float(number: u64) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}

/// From here on what is counted is kept, until it is asked for.
pub(crate) fn recorder() -> Result<PrometheusHandle, Box<dyn std::error::Error>> {
    let handle = PrometheusBuilder::new().set_buckets(&[0.005, 0.05, 0.5, 5.0, 50.0])?.install_recorder()?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            sleep(Duration::from_secs(5)).await;
            upkeep.run_upkeep();
        }
    });
    metrics::describe_counter!(
        "gateway_requests_total",
        "Requests that are over, by the status their clients were sent; 0: none."
    );
    metrics::describe_counter!("gateway_log_lines_dropped_total", "Lines that the log had no room for.");
    metrics::describe_gauge!("gateway_connections", "Connections from clients.");
    Ok(handle)
}
