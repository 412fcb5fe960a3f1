//! How many worker processes does `quaestor scaler` run?

use quaestor_core::jobs::JobKind;
use serde::{Deserialize, Serialize};

/// The `[scaler]` section.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scaler {
    /// What all its processes together may use of memory, in MiB; what its control group or the
    /// machine has where it is not named.
    pub memory_mb: Option<u64>,
    /// Processes of each kind of work, at the least.
    pub min: LeastProcesses,
    /// The same, at the most.
    pub max: MostProcesses,
}

macro_rules! processes {
    ($(#[$doc:meta])+ $name:ident: $($kind:ident $field:ident = $usual:literal,)+) => {
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $(
                /// Processes for work of this kind.
                pub $field: u32,
            )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $usual,)+ }
            }
        }

        impl $name {
            /// The processes of a kind.
            #[must_use]
            pub fn of(&self, kind: JobKind) -> u32 {
                match kind {
                    $(JobKind::$kind => self.$field,)+
                }
            }
        }
    };
}

processes! {
    /// The `[scaler.min]` section. A start takes a second: nobody who asks is to wait for it.
    LeastProcesses:
        Chat chat = 1,
        Documents documents = 0,
        Collections collections = 0,
        Exports exports = 0,
}

processes! {
    /// The `[scaler.max]` section.
    MostProcesses:
        Chat chat = 4,
        Documents documents = 2,
        Collections collections = 1,
        Exports exports = 1,
}
