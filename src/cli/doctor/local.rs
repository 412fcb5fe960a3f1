//! The configuration and this machine: does the one fit, and has the other what it needs?

use std::collections::BTreeSet;
use std::io::Read;
use std::num::NonZero;
use std::path::Path;

use quaestor_core::jobs::Step;

use super::{Finding, fail, ok, warn};
use crate::cli::size;
use crate::config::{EmbedderChoice, Settings, missing_file};

/// Below this the store may fail to write.
const LITTLE_SPACE: u64 = 1_000_000_000;
/// Below this it soon will.
const NO_SPACE: u64 = 50_000_000;
/// A safetensors file begins with a header of at most this size.
const MAX_TENSOR_HEADER: u64 = 100 << 20;

pub(super) fn look(settings: &Settings, findings: &mut Vec<Finding>) {
    let config = &settings.config;
    if settings.warnings.is_empty() {
        findings.push(ok("configuration", "every key is known and every value fits"));
    }
    findings.extend(settings.warnings.iter().map(|warning| warn("configuration", warning)));
    findings.push(data_folder(&config.data.dir));
    findings.push(match &settings.embedder {
        EmbedderChoice::MiniLm(dir) => match unloadable(dir) {
            None => ok("model folder", dir.display().to_string()),
            Some(reason) => {
                fail("model folder", format!("{reason}; fetch it again with `make model`"))
            }
        },
        EmbedderChoice::At(model) => ok("embedder", model.to_string()),
        EmbedderChoice::None(why) => {
            warn("model folder", format!("search is by words alone: {why}"))
        }
    });
    let chain = &config.models.chat;
    let addresses: BTreeSet<&str> =
        chain.models().filter_map(|model| config.models.address(&model.provider)).collect();
    findings.push(if addresses.is_empty() {
        ok("chat", format!("{chain}: answers quote the best passages, without a model"))
    } else {
        let addresses: Vec<&str> = addresses.into_iter().collect();
        ok("chat", format!("{chain} at {}", addresses.join(", ")))
    });
    let parse = &config.parse;
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let cores = u32::try_from(cores).unwrap_or(u32::MAX);
    let files = config.workers.slots_max(Step::DocumentsIngest, cores);
    let told = format!(
        "{} MiB, {} s of CPU, {} s by the clock for each of up to {} files at once",
        parse.memory_mb, parse.cpu_s, parse.wall_s, files
    );
    findings.push(ok("parse limits", told));
}

/// Whether the nearest folder that is there can be written to, and what room it has.
fn data_folder(dir: &Path) -> Finding {
    let subject = "data folder";
    let shown = dir.display();
    let there = dir.ancestors().find(|folder| !folder.as_os_str().is_empty() && folder.exists());
    let there = there.unwrap_or(Path::new("."));
    if !there.is_dir() {
        return fail(
            subject,
            format!("{} is in the way of {shown}: it is no folder", there.display()),
        );
    }
    if rustix::fs::access(there, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
        .is_err()
    {
        let told = format!(
            "{} cannot be written to: give its owner to the server's user",
            there.display()
        );
        return fail(subject, told);
    }
    let space = match rustix::fs::statvfs(there) {
        Ok(facts) => facts.f_bavail.saturating_mul(facts.f_frsize),
        Err(error) => return fail(subject, format!("asking how much room {shown} has: {error}")),
    };
    let told = format!("{shown}, {} free", size(space));
    match space {
        0..NO_SPACE => fail(subject, format!("{told}: make room")),
        NO_SPACE..LITTLE_SPACE => warn(subject, format!("{told}: make room soon")),
        _ => ok(subject, told),
    }
}

/// Why the files of a model folder cannot be a model, seen without loading it.
fn unloadable(dir: &Path) -> Option<String> {
    if let Some(file) = missing_file(dir) {
        return Some(format!("{} has no {file}", dir.display()));
    }
    for file in ["config.json", "tokenizer.json"] {
        let path = dir.join(file);
        let parsed = std::fs::read(&path).map_err(|error| error.to_string()).and_then(|b| {
            serde_json::from_slice::<serde_json::Value>(&b).map_err(|e| e.to_string())
        });
        if let Err(reason) = parsed {
            return Some(format!("{} is not JSON: {reason}", path.display()));
        }
    }
    let path = dir.join("model.safetensors");
    tensors(&path).err().map(|reason| format!("{} is damaged: {reason}", path.display()))
}

/// A safetensors file is the length of its header (8 bytes, little endian), the header as
/// JSON, and the numbers; the greatest `data_offsets` says how many bytes of them.
fn tensors(path: &Path) -> Result<(), String> {
    let mut file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let size = file.metadata().map_err(|error| error.to_string())?.len();
    let mut length = [0_u8; 8];
    file.read_exact(&mut length).map_err(|_| "it is empty".to_owned())?;
    let length = u64::from_le_bytes(length);
    if length > MAX_TENSOR_HEADER || length + 8 > size {
        return Err("its header is cut off".to_owned());
    }
    let header: serde_json::Map<String, serde_json::Value> =
        serde_json::from_reader(file.take(length)).map_err(|error| error.to_string())?;
    let ends = header.values().filter_map(|tensor| tensor["data_offsets"][1].as_u64());
    let wanted = 8 + length + ends.max().unwrap_or(0);
    if wanted == size {
        Ok(())
    } else {
        Err(format!("it has {size} bytes and should have {wanted}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_cut_off_model_is_told_from_a_whole_one() {
        let dir = tempfile::tempdir().unwrap();
        let header = br#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(header);
        file.extend_from_slice(&[0; 8]);
        let path = dir.path().join("model.safetensors");
        std::fs::write(&path, &file).unwrap();
        assert_eq!(tensors(&path), Ok(()));
        assert!(unloadable(dir.path()).unwrap().contains("config.json"));
        for name in ["config.json", "tokenizer.json"] {
            std::fs::write(dir.path().join(name), "{}").unwrap();
        }
        assert_eq!(unloadable(dir.path()), None);
        std::fs::write(&path, &file[..file.len() - 1]).unwrap();
        assert!(unloadable(dir.path()).unwrap().contains("damaged"));
    }

    #[test]
    fn a_data_folder_that_cannot_be_is_told() {
        let dir = tempfile::tempdir().unwrap();
        assert_ne!(data_folder(&dir.path().join("new/data")).verdict, Verdict::Fail);
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(data_folder(&dir.path().join("file/data")).verdict, Verdict::Fail);
    }
}
