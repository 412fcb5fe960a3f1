//! What is written to a connection, one step after the other.

use std::time::Duration;

use crate::reply::{Cut, Damage, Hangup};

/// One step of what is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// These bytes of the body.
    Bytes(Vec<u8>),
    /// These bytes, which are one token of an answer.
    Token(Vec<u8>),
    /// These bytes, which tell the usage.
    Usage(Vec<u8>),
    /// Nothing for this long.
    Wait(Duration),
    /// All steps so far again, from the step of this number.
    Again(usize),
    /// The connection ends here, so.
    End(Hangup),
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Chunked: a cut shows as one.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

/// Does to the frames of a stream what the script says.
pub(crate) fn damaged(mut steps: Vec<Step>, damage: &[Damage]) -> Vec<Step> {
    for damage in damage {
        match damage {
            Damage::CrLf => each(&mut steps, |text| text.replace('\n', "\r\n")),
            Damage::Cr => each(&mut steps, |text| text.replace('\n', "\r")),
            Damage::NoSpace => each(&mut steps, |text| text.replace("data: ", "data:")),
            Damage::Comments => each(&mut steps, |text| format!(": a comment\n\n{text}:\n")),
            Damage::ManyLines => each(&mut steps, many_lines),
            Damage::Bom => steps.insert(0, Step::Bytes("\u{feff}".into())),
            Damage::NoEnd => {
                steps.retain(|step| {
                    !matches!(step, Step::Bytes(bytes) if contains(bytes, "[DONE]")
                        || contains(bytes, "message_stop"))
                });
            }
            Damage::OddEnd => {
                let odd = |text: &str| text.replace("data: [DONE]\n\n", "data:  [DONE] \n");
                each(&mut steps, odd);
            }
            Damage::NoLastBlank => {
                if let Some(Step::Bytes(bytes)) = steps.last_mut() {
                    bytes.truncate(bytes.trim_ascii_end().len());
                }
            }
            Damage::Pieces(size) => steps = pieces(steps, *size),
        }
    }
    steps
}

fn each(steps: &mut [Step], change: impl Fn(&str) -> String) {
    for step in steps {
        if let Step::Bytes(bytes) | Step::Token(bytes) | Step::Usage(bytes) = step {
            *bytes = change(&String::from_utf8_lossy(bytes)).into_bytes();
        }
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// JSON may break its lines at every comma between members.
fn many_lines(frame: &str) -> String {
    frame
        .replace(",\"choices\"", ",\ndata: \"choices\"")
        .replace(",\"delta\"", ",\ndata: \"delta\"")
}

fn pieces(steps: Vec<Step>, size: usize) -> Vec<Step> {
    let size = size.max(1);
    let mut split = Vec::new();
    for mut step in steps {
        if let Step::Bytes(bytes) | Step::Token(bytes) | Step::Usage(bytes) = &mut step {
            while bytes.len() > size {
                let later = bytes.split_off(size);
                split.push(Step::Bytes(std::mem::replace(bytes, later)));
            }
        }
        split.push(step);
    }
    split
}

/// The steps up to the cut, and the end there.
pub(crate) fn cut(steps: Vec<Step>, cut: Cut) -> Vec<Step> {
    let mut kept = Vec::new();
    let (mut tokens, mut bytes) = (0, 0);
    let how = match cut {
        Cut::AfterTokens(_, how) | Cut::AfterBytes(_, how) => how,
    };
    for step in steps {
        if matches!(cut, Cut::AfterTokens(wanted, _) if tokens == wanted) {
            // What is not a token still comes before the first one, but not after the last.
            if tokens > 0 || matches!(step, Step::Token(_)) {
                break;
            }
        }
        let length = match &step {
            Step::Bytes(part) | Step::Token(part) | Step::Usage(part) => part.len(),
            _ => 0,
        };
        if let Cut::AfterBytes(wanted, _) = cut
            && bytes + length > wanted
        {
            if let Step::Bytes(part) | Step::Token(part) | Step::Usage(part) = step {
                kept.push(Step::Bytes(part[..wanted - bytes].to_vec()));
            }
            break;
        }
        bytes += length;
        tokens += usize::from(matches!(step, Step::Token(_)));
        kept.push(step);
    }
    kept.push(Step::End(how));
    kept
}
