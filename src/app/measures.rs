//! What keeps the metrics of this process, and what is told of its machine.

use std::path::Path;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use quaestor_core::metrics::{self, Kind};

/// The recorder, with every metric of the table described and each histogram in its own
/// bounds. It is the process's: a second server in one process shares it.
pub(super) fn install() -> anyhow::Result<PrometheusHandle> {
    static INSTALLED: OnceLock<Result<PrometheusHandle, String>> = OnceLock::new();
    INSTALLED
        .get_or_init(|| {
            let handle = recorder().map_err(|error| error.to_string())?;
            metrics::describe_all();
            metrics::BUILD_INFO.of([env!("CARGO_PKG_VERSION").into()]).set(1.0);
            Ok(handle)
        })
        .clone()
        .map_err(|error| anyhow::anyhow!("installing the metrics recorder: {error}"))
}

fn recorder() -> Result<PrometheusHandle, metrics_exporter_prometheus::BuildError> {
    let mut builder = PrometheusBuilder::new();
    for metric in metrics::ALL {
        if let Kind::Histogram(buckets) = metric.kind {
            builder =
                builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)?;
        }
    }
    builder.install_recorder()
}

/// Tells how much of the disk of a folder is free.
pub(super) fn tell_disk(folder: &Path) {
    let found = rustix::fs::statvfs(folder).or_else(|_| rustix::fs::statvfs("."));
    match found {
        Ok(disk) => {
            metrics::DISK_FREE_BYTES.of([]).set((disk.f_bavail * disk.f_frsize) as f64);
            metrics::DISK_SIZE_BYTES.of([]).set((disk.f_blocks * disk.f_frsize) as f64);
        }
        Err(_) => metrics::LOOKS_FAILED.of(["disk".into()]).increment(1),
    }
}
