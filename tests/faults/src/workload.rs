//! The standard workload: several workspaces whose clients ask and upload without a pause.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quaestor_model_server::{Answer, ModelServer, Operation, Reply, Request};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::beside::{Desk, goes_on};
use crate::client::Client;
use crate::fleet::Fleet;
use crate::ledger::Ledger;
use crate::place::Place;

/// How much is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Clients in all, spread over the workspaces.
    pub clients: usize,
    /// Words of an answer.
    pub words: usize,
    /// How far apart they come.
    pub every: Duration,
    /// How often somebody uploads a file; never where none.
    pub upload_every: Option<Duration>,
    /// Sections of an uploaded file, each of them a passage or two.
    pub sections: usize,
    /// Whether batches, exports and reindexings go on beside it; their settings are
    /// [`crate::beside::SETTINGS`].
    pub beside: bool,
}

impl Shape {
    /// What most faults happen to: answers of two seconds, a file each second and a half.
    pub const STANDARD: Self = Self {
        clients: 12,
        words: 60,
        every: Duration::from_millis(30),
        upload_every: Some(Duration::from_millis(1_500)),
        sections: 8,
        beside: false,
    };
}

/// The model's answer to anything: so many words, with the canary of the prompt's passages
/// among them, so that whatever comes to the wrong client is noticed.
pub fn answer_well(model: &ModelServer, shape: Shape) {
    model.respond(move |request| reply_well(request, shape));
}

/// The reply of a model that is well.
#[must_use]
pub fn reply_well(request: &Request, shape: Shape) -> Reply {
    if request.operation != Operation::Chat {
        return Reply::sensible(request);
    }
    let canaries = canaries_in(&request.body.to_string());
    let canary = canaries.first().cloned().unwrap_or_else(|| "nothing".to_owned());
    let mut tokens = vec!["It".to_owned(), format!(" is {canary} [1]:")];
    tokens.extend((0..shape.words).map(|number| format!(" word-{number}")));
    Reply::answer(Answer::tokens(tokens).every(shape.every))
}

/// Every canary in a text, each once.
#[must_use]
pub fn canaries_in(text: &str) -> Vec<String> {
    let mut found: Vec<String> = text
        .match_indices("canary")
        .filter_map(|(at, _)| text.get(at..at + "canary".len() + 13))
        .filter(|word| word.ends_with('x') && word[6..18].bytes().all(|b| b.is_ascii_hexdigit()))
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    found
}

/// A file of a workspace: each section has its canary and figures of its own.
#[must_use]
pub fn report(canary: &str, name: &str, sections: usize) -> String {
    let mut text = format!("# {name} of the {canary} fund\n\n");
    for section in 1..=sections {
        text.push_str(&format!(
            "## Holding {section}\n\nThe {canary} fund holds bond number {section}. Its coupon is \
             paid each March, and its rating was confirmed in the year under review.\n\n\
             | Item | 2025 | 2024 |\n| --- | --- | --- |\n\
             | Market value of bond {section} | {} | {} |\n\n",
            section * 1_013,
            section * 911,
        ));
    }
    text
}

/// A workload that runs.
#[derive(Debug)]
pub struct Workload {
    /// What its clients saw.
    pub ledger: Arc<Ledger>,
    /// No more questions.
    enough: CancellationToken,
    /// No more patience.
    give_up: CancellationToken,
    tasks: TaskTracker,
    answered: Arc<AtomicU64>,
}

impl Workload {
    /// Gives each workspace a first document, and starts the clients.
    ///
    /// # Errors
    /// A document does not become searchable.
    pub async fn start(place: &Place, fleet: &Fleet, shape: Shape) -> anyhow::Result<Self> {
        let ledger = Arc::new(Ledger::default());
        let addresses = fleet.addresses().await;
        let workload = Self {
            ledger: Arc::clone(&ledger),
            enough: CancellationToken::new(),
            give_up: CancellationToken::new(),
            tasks: TaskTracker::new(),
            answered: Arc::default(),
        };
        let mut collections = Vec::new();
        for number in 0..place.workspaces.len() {
            let mut addresses = addresses.clone();
            let fronts = addresses.len().max(1);
            addresses.rotate_left(number % fronts);
            let client = Client::of(&place.workspaces, number, addresses, Arc::clone(&ledger))?;
            let collection = client.collection("reports").await?;
            let text = report(&place.workspaces[number].canary, "first", shape.sections);
            let first = client.upload(&collection, "first.md", &text, shape.sections).await?;
            client.ended(&first.job).await?;
            collections.push((client, collection));
        }
        for number in 0..shape.clients {
            let (client, _) = &collections[number % collections.len()];
            workload.tasks.spawn(workload.asks(client.clone(), number));
        }
        if shape.beside {
            let desk = |(client, collection): &(Client, String), canary: &str| Desk {
                client: client.clone(),
                collection: collection.clone(),
                canary: canary.to_owned(),
            };
            let desks = collections.iter().zip(&place.workspaces);
            let desks = desks.map(|(own, workspace)| desk(own, &workspace.canary)).collect();
            let enough = workload.enough.clone();
            workload.tasks.spawn(goes_on(desks, Arc::clone(&ledger), shape.sections, enough));
        }
        if let Some(every) = shape.upload_every {
            let canaries: Vec<String> =
                place.workspaces.iter().map(|workspace| workspace.canary.clone()).collect();
            workload.tasks.spawn(workload.uploads(collections, canaries, every, shape.sections));
        }
        workload.tasks.close();
        Ok(workload)
    }

    fn asks(&self, client: Client, number: usize) -> impl Future<Output = ()> + use<> {
        let (enough, give_up) = (self.enough.clone(), self.give_up.clone());
        let (ledger, answered) = (Arc::clone(&self.ledger), Arc::clone(&self.answered));
        async move {
            let asking = async {
                let conversation = client.conversation().await?;
                for question in 0_u64.. {
                    if enough.is_cancelled() {
                        break;
                    }
                    let bond = question % 8 + 1;
                    let text = format!("What was the market value of bond {bond} in 2025?");
                    let key = format!("{number}-{question}");
                    client.ask(&conversation, &text, &key, &give_up).await?;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                anyhow::Ok(())
            };
            if let Err(error) = asking.await {
                ledger.book().surprises.push(format!("client {number} gave up: {error:#}"));
            }
        }
    }

    fn uploads(
        &self,
        collections: Vec<(Client, String)>,
        canaries: Vec<String>,
        every: Duration,
        sections: usize,
    ) -> impl Future<Output = ()> + use<> {
        let (enough, ledger) = (self.enough.clone(), Arc::clone(&self.ledger));
        async move {
            for number in 0_usize.. {
                tokio::select! {
                    () = enough.cancelled() => return,
                    () = tokio::time::sleep(every) => {}
                }
                let place = number % collections.len();
                let (client, collection) = &collections[place];
                let name = format!("report-{number}.md");
                let text = report(&canaries[place], &name, sections);
                if let Err(error) = client.upload(collection, &name, &text, sections).await {
                    ledger.book().surprises.push(format!("an upload was given up: {error:#}"));
                }
            }
        }
    }

    /// How many questions have come to their end, or were given up.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many more questions were answered.
    ///
    /// # Errors
    /// They are not in that time.
    pub async fn progress(&self, more: u64, patience: Duration) -> anyhow::Result<()> {
        let wanted = self.answered() + more;
        let waiting = async {
            while self.answered() < wanted {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(patience, waiting)
            .await
            .map_err(|_| anyhow::anyhow!("no {more} answers came in {} s", patience.as_secs()))
    }

    /// Asks no more, and lets what runs come to its end: for `settle` at the most.
    pub async fn end(self, settle: Duration) -> Arc<Ledger> {
        self.enough.cancel();
        if tokio::time::timeout(settle, self.tasks.wait()).await.is_err() {
            // Who still waits writes down what it saw: the check finds that no end was told.
            self.give_up.cancel();
            let _ = tokio::time::timeout(Duration::from_secs(30), self.tasks.wait()).await;
        }
        self.ledger
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canaries_are_found_wherever_they_stand() {
        let text = "xcanary0123456789abx, \"canary0123456789abx\" canaryzz canary0123456789acx";
        assert_eq!(canaries_in(text), ["canary0123456789abx", "canary0123456789acx"]);
    }
}
