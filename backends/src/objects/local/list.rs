//! What is in the folder, in the order of keys.
//!
//! A folder gives its entries in no order, so each page reads all names of the folders that
//! it comes by. It keeps no more of them than it needs, however many there are.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use quaestor_core::clock::Time;
use quaestor_core::ports::objects::{ListedObject, ObjectKey, ObjectPage};

/// Folders in one another: a workspace's, of documents, a document's.
const DEEPEST: usize = 8;

pub(super) fn page(root: &Path, after: Option<&ObjectKey>, limit: u32) -> io::Result<ObjectPage> {
    let limit = limit.max(1) as usize;
    let mut listing = Listing { page: ObjectPage::default(), limit };
    let after = after.map(ObjectKey::as_str);
    if listing.folder(root, "", after, 0)? {
        listing.page.next = listing.page.objects.last().map(|object| object.key.clone());
    }
    Ok(listing.page)
}

struct Listing {
    page: ObjectPage,
    limit: usize,
}

impl Listing {
    /// Lists what a folder has after a key. Returns whether the page was full before its end.
    fn folder(
        &mut self,
        folder: &Path,
        prefix: &str,
        after: Option<&str>,
        depth: usize,
    ) -> io::Result<bool> {
        if depth > DEEPEST {
            return Ok(false);
        }
        let mut from: Option<(String, bool)> = None;
        loop {
            let names = self.names(folder, prefix, after, from.as_ref())?;
            let Some(last) = names.last().cloned() else { return Ok(false) };
            let all = names.len() <= self.limit;
            for (name, is_folder) in names {
                let key = format!("{prefix}{}", name.trim_end_matches('/'));
                if self.page.objects.len() >= self.limit {
                    return Ok(true);
                }
                let path = folder.join(name.trim_end_matches('/'));
                if is_folder {
                    if self.folder(&path, &format!("{key}/"), after, depth + 1)? {
                        return Ok(true);
                    }
                } else {
                    self.file(&path, &key)?;
                }
            }
            if all {
                return Ok(false);
            }
            from = Some(last);
        }
    }

    /// The first names of a folder that are or hold something after the key, by the order
    /// of keys: a folder stands where its slash puts it.
    fn names(
        &self,
        folder: &Path,
        prefix: &str,
        after: Option<&str>,
        from: Option<&(String, bool)>,
    ) -> io::Result<BTreeSet<(String, bool)>> {
        let mut names = BTreeSet::new();
        let entries = match std::fs::read_dir(folder) {
            // An emptied folder goes with its last file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let Ok(mut name) = entry.file_name().into_string() else { continue };
            let is_folder = entry.file_type()?.is_dir();
            if is_folder {
                name.push('/');
            }
            let key = format!("{prefix}{name}");
            let wanted = after
                .is_none_or(|after| key.as_str() > after || (is_folder && after.starts_with(&key)));
            let one = (name, is_folder);
            if wanted && from.is_none_or(|from| one > *from) {
                names.insert(one);
                // One more than fits tells that there is more.
                if names.len() > self.limit + 1 {
                    names.pop_last();
                }
            }
        }
        Ok(names)
    }

    fn file(&mut self, path: &Path, key: &str) -> io::Result<()> {
        // What is no key was not stored by this program.
        let Ok(key) = ObjectKey::parse(key) else { return Ok(()) };
        let metadata = match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            metadata => metadata?,
        };
        let stored_at = Time::from(metadata.modified()?);
        self.page.objects.push(ListedObject { key, size_bytes: metadata.len(), stored_at });
        Ok(())
    }
}
