//! How are the office formats read that keep their text as XML in an archive?

pub(crate) mod docx;
pub(crate) mod odt;
pub(crate) mod pptx;
mod story;
pub(crate) mod xml;

use quaestor_core::problem::Problem;

use crate::archive::Archive;
use crate::inline::clean;
use xml::Node;

/// The title in an office file's properties.
pub(crate) fn title(archive: &mut Archive<'_>, part: &str) -> Result<Option<String>, Problem> {
    let Some(bytes) = archive.part(part)? else { return Ok(None) };
    let mut inside = false;
    let mut title = String::new();
    xml::visit(&bytes, |node| {
        match node {
            Node::Start("title", _) => inside = true,
            Node::End("title") => inside = false,
            Node::Text(text) if inside && title.len() < 1_000 => title.push_str(text),
            _ => {}
        }
        Ok(())
    })?;
    let title = clean(&title);
    Ok(Some(title).filter(|title| !title.is_empty()))
}

/// The targets of a part's relationships by id, as paths in the archive.
fn relationships(
    archive: &mut Archive<'_>,
    part: &str,
) -> Result<Vec<(String, String, String)>, Problem> {
    let (folder, name) = part.rsplit_once('/').unwrap_or(("", part));
    let Some(bytes) =
        archive.part(format!("{folder}/_rels/{name}.rels").trim_start_matches('/'))?
    else {
        return Ok(Vec::new());
    };
    let mut targets = Vec::new();
    xml::visit(&bytes, |node| {
        if let Node::Start("Relationship", start) = node
            && let (Some(id), Some(target)) =
                (xml::attribute(start, "Id"), xml::attribute(start, "Target"))
        {
            let kind = xml::attribute(start, "Type").unwrap_or_default();
            targets.push((id, kind, resolve(folder, &target)));
        }
        Ok(())
    })?;
    Ok(targets)
}

/// A target as a path in the archive: relative to its part's folder, or from the root.
fn resolve(folder: &str, target: &str) -> String {
    if let Some(path) = target.strip_prefix('/') {
        return path.to_owned();
    }
    let mut path: Vec<&str> = folder.split('/').filter(|step| !step.is_empty()).collect();
    for step in target.split('/') {
        match step {
            ".." => {
                path.pop();
            }
            "." | "" => {}
            step => path.push(step),
        }
    }
    path.join("/")
}
