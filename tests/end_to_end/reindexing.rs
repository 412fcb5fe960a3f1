//! A collection gets the vectors of another model while it is used: beside those that are
//! searched, in one switch, with a way back, through kills, pauses and cancels.

use std::collections::BTreeMap;
use std::time::Duration;

use quaestor_model_server::{ModelServer, Operation, Reply, Vectors};
use reqwest::Method;
use serde_json::{Value, json};

use crate::installation::{Backends, Installation, on_both};
use crate::program::{Program, long_report};

on_both!(
    a_collection_changes_over_to_another_model_and_back,
    a_killed_reindexing_goes_on,
    a_reindexing_is_paused_resumed_and_cancelled,
    what_was_embedded_once_is_not_sent_again,
    a_wish_that_cannot_be_met_is_refused_before_anything_starts,
);

/// The two models, of eight and of twelve numbers.
pub(crate) async fn models() -> ModelServer {
    ModelServer::answering(|request| match request.operation {
        Operation::Embed if request.body["model"] == "second" => Reply::vectors(Vectors::Good(12)),
        Operation::Embed => Reply::vectors(Vectors::Good(8)),
        _ => Reply::sensible(request),
    })
    .await
}

fn environment(models: &ModelServer) -> Vec<(&'static str, String)> {
    vec![
        ("QUAESTOR_EMBED", "openai:first".to_owned()),
        ("QUAESTOR_MODELS__EMBED_DIMENSIONS", "8".to_owned()),
        ("QUAESTOR_EMBED_ALSO", "openai:second=12".to_owned()),
        ("OPENAI_BASE_URL", models.openai_url()),
        ("OPENAI_API_KEY", "sk-none".to_owned()),
    ]
}

/// How often each text was sent to a model.
pub(crate) fn sent(models: &ModelServer, model: &str) -> BTreeMap<String, usize> {
    let mut texts = BTreeMap::new();
    for call in models.calls_of(Operation::Embed) {
        if call.model == model {
            for text in call.request.body["input"].as_array().unwrap() {
                *texts.entry(text.as_str().unwrap().to_owned()).or_insert(0) += 1;
            }
        }
    }
    texts
}

pub(crate) struct Place {
    pub(crate) installation: Installation,
    pub(crate) program: Program,
    collection: String,
}

impl Place {
    /// A running installation with a report in a collection.
    pub(crate) async fn new(backends: Backends, models: &ModelServer, sections: usize) -> Self {
        let installation = Installation::new(backends).await;
        let owned = environment(models);
        let environment: Vec<(&str, &str)> =
            owned.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let program = installation.start(&environment);
        let collection = program.make_collection("reports").await;
        let place = Self { installation, program, collection };
        place.upload("halden.md", long_report(sections)).await;
        place
    }

    /// Starts the program again, with these settings beside the usual ones.
    pub(crate) fn restart(&mut self, models: &ModelServer, more: &[(&str, &str)]) {
        let owned = environment(models);
        let mut all: Vec<(&str, &str)> =
            owned.iter().map(|(name, value)| (*name, value.as_str())).collect();
        all.extend_from_slice(more);
        self.program = self.installation.start(&all);
    }

    pub(crate) async fn upload(&self, name: &str, text: String) {
        let upload = self.program.upload(&self.collection, name, text).await.unwrap();
        let job = self.program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
        assert_eq!(job["state"], "done", "{job}");
    }

    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/api/collections/{}/{rest}", self.collection)
    }

    pub(crate) async fn generations(&self) -> Vec<Value> {
        let list = self.program.get(&self.path("generations")).await;
        list["items"].as_array().unwrap().clone()
    }

    /// The models and states of the generations.
    async fn states(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let all = self.generations().await;
        all.iter().map(|one| (text(&one["model"]), text(&one["state"]))).collect()
    }

    pub(crate) async fn begin(&self, body: Value) -> String {
        let accepted = self.program.post(&self.path("reindex"), body).await;
        accepted["job_id"].as_str().unwrap().to_owned()
    }

    /// What is answered where something is refused: the status and the problem.
    pub(crate) async fn refusal(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let response = self.program.send(method, path, Some(body)).await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    pub(crate) async fn searched_by(&self) -> String {
        let query = json!({"query": "the market value of bond 17"});
        let found = self.program.post("/api/search", query).await;
        assert!(!found["passages"].as_array().unwrap().is_empty(), "{found}");
        found["searched_by"].as_str().unwrap().to_owned()
    }

    /// Waits until a job is in this state, for this reason.
    async fn wait_for(&self, job: &str, state: &str, reason: Option<&str>) -> Value {
        for _ in 0..1_200 {
            let seen = self.program.get(&format!("/api/jobs/{job}")).await;
            if seen["state"] == state && seen["reason"].as_str() == reason {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{job} is not {state} for {reason:?}\n{}", self.program.log());
    }
}

fn state(model: &str, state: &str) -> (String, String) {
    (model.to_owned(), state.to_owned())
}

async fn a_collection_changes_over_to_another_model_and_back(backends: Backends) {
    let models = models().await;
    let place = Place::new(backends, &models, 60).await;
    let body = json!({"embedding_model": "openai:second", "passages_per_minute": 6_000});
    let estimate = place.program.post(&place.path("reindex/estimate"), body).await;
    let passages = estimate["passages"].as_u64().unwrap();
    assert!(passages > 20 && estimate["tokens"].as_u64().unwrap() > passages, "{estimate}");
    assert_eq!((&estimate["dimensions"], &estimate["documents"]), (&12.into(), &1.into()));
    assert_eq!(estimate["seconds"], passages.div_ceil(100));
    assert_eq!(place.searched_by().await, "words_and_meaning");

    let job = place.begin(json!({"embedding_model": "openai:second"})).await;
    let ended = place.program.wait_for_job(&job).await;
    assert_eq!((&ended["state"], &ended["kind"]), (&"done".into(), &"collections".into()));
    let expected = [state("openai:first", "former"), state("openai:second", "current")];
    assert_eq!(place.states().await, expected);
    let generations = place.generations().await;
    assert_eq!(
        (&generations[1]["passages"], &generations[1]["total"]),
        (&passages.into(), &passages.into())
    );
    let seen = place.program.get(&format!("/api/collections/{}", place.collection)).await;
    assert_eq!(seen["embedding_model"], "openai:second");
    assert_eq!(place.searched_by().await, "words_and_meaning");
    assert!(sent(&models, "second").values().all(|times| *times == 1));

    // Where collections hold vectors of both models, a search asks both.
    let other = place.program.make_collection("others").await;
    let text = "Bond 7 of the Halden series is held by nobody else.";
    let upload = place.program.upload(&other, "other.md", text).await.unwrap();
    place.program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
    let query = "who else holds bond 7";
    let found = place.program.post("/api/search", json!({ "query": query })).await;
    assert_eq!(
        (&found["searched_by"], &found["note"]),
        (&"words_and_meaning".into(), &Value::Null)
    );
    for model in ["first", "second"] {
        assert_eq!(sent(&models, model).get(query), Some(&1), "{model}");
    }

    // What comes now gets the vectors that are searched, and back again those of before.
    place.upload("more.md", "# Notes\n\nThe fund of Halden bought bond 901.\n".to_owned()).await;
    let back = place.program.post(&place.path("reindex/rollback"), json!({})).await;
    let expected = [state("openai:first", "current"), state("openai:second", "former")];
    assert_eq!(place.states().await, expected);
    place.program.wait_for_job(back["job_id"].as_str().unwrap()).await;
    let all = place.generations().await;
    assert_eq!(all[0]["passages"], all[0]["total"], "{all:?}");
    assert_eq!(place.searched_by().await, "words_and_meaning");
    let (status, _) = place.refusal(Method::DELETE, &place.path("reindex/former"), json!({})).await;
    assert_eq!(status, 204);
    assert_eq!(place.states().await, [state("openai:first", "current")]);
    let (status, problem) =
        place.refusal(Method::DELETE, &place.path("reindex/former"), json!({})).await;
    assert_eq!((status, &problem["code"]), (409, &"no_such_generation".into()), "{problem}");
}

async fn a_killed_reindexing_goes_on(backends: Backends) {
    for point in ["reindex.before_save", "reindex.mid_way", "reindex.before_switch"] {
        let models = models().await;
        let installation = Installation::new(backends).await;
        let owned = environment(&models);
        let mut variables: Vec<(&str, &str)> =
            owned.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let plan = format!("{point}=kill");
        let whole = variables.clone();
        variables.push(("QUAESTOR_FAIL_AT", &plan));
        let program = installation.start(&variables);
        let collection = program.make_collection("reports").await;
        let mut place = Place { installation, program, collection };
        place.upload("halden.md", long_report(300)).await;
        let job = place.begin(json!({"embedding_model": "openai:second"})).await;
        let died = place.program.death().await;
        assert!(died, "the program did not come to {point}\n{}", place.program.log());
        place.program = place.installation.start(&whole);
        let ended = place.program.wait_for_job(&job).await;
        assert_eq!(ended["state"], "done", "{point}: {ended}");
        let expected = [state("openai:first", "former"), state("openai:second", "current")];
        assert_eq!(place.states().await, expected, "{point}");
        let generations = place.generations().await;
        assert_eq!(generations[1]["passages"], generations[1]["total"], "{point}");
        let twice = sent(&models, "second").values().filter(|times| **times > 1).count();
        assert_eq!(twice, 0, "{point}: what was stored was embedded again");
    }
}

async fn a_reindexing_is_paused_resumed_and_cancelled(backends: Backends) {
    let models = models().await;
    let place = Place::new(backends, &models, 60).await;
    // A few at once, and then a minute's wait: there is time to look.
    let body = json!({"embedding_model": "openai:second", "passages_per_minute": 5});
    let job = place.begin(body).await;
    place.wait_for(&job, "waiting", Some("reindex_paced")).await;
    let (status, problem) = place.refusal(Method::POST, &place.path("reindex"), json!({})).await;
    assert_eq!((status, &problem["code"]), (409, &"reindex_under_way".into()), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains(&job), "{problem}");
    place.program.post(&place.path("reindex/pause"), json!({})).await;
    place.wait_for(&job, "waiting", Some("reindex_paused")).await;
    let built = place.generations().await[1].clone();
    assert_eq!((&built["passages"], &built["passages_per_minute"]), (&5.into(), &5.into()));
    assert!(built["paused_at"].is_string(), "{built}");
    place.program.post(&place.path("reindex/resume"), json!({})).await;
    place.wait_for(&job, "waiting", Some("reindex_paced")).await;
    assert_eq!(place.generations().await[1]["passages"], 10);
    // Documents that come meanwhile are in both.
    place.upload("more.md", "# Notes\n\nThe fund of Halden bought bond 901.\n".to_owned()).await;
    assert_eq!(place.generations().await[1]["passages"], 11);
    let seen = place.program.post(&place.path("reindex/cancel"), json!({})).await;
    assert_eq!((&seen["id"], &seen["state"]), (&job.as_str().into(), &"cancelled".into()));
    assert_eq!(place.states().await, [state("openai:first", "current")]);
    let (status, _) = place.refusal(Method::POST, &place.path("reindex/cancel"), json!({})).await;
    assert_eq!(status, 409);
    assert_eq!(place.searched_by().await, "words_and_meaning");
}

async fn what_was_embedded_once_is_not_sent_again(backends: Backends) {
    let models = models().await;
    let place = Place::new(backends, &models, 40).await;
    let before = sent(&models, "first");
    // The same file in another collection, and a version of it with a sentence more.
    let other = place.program.make_collection("copies").await;
    let upload = place.program.upload(&other, "halden.md", long_report(40)).await.unwrap();
    place.program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
    assert_eq!(sent(&models, "first"), before);
    let longer = format!("{}\n# Added\n\nBond 902 was sold in May.\n", long_report(40));
    place.upload("halden.md", longer).await;
    let after = sent(&models, "first");
    let new: Vec<&String> = after.keys().filter(|text| !before.contains_key(*text)).collect();
    assert!(new.len() <= 2, "{} of {} passages were sent again", new.len(), before.len());
    assert!(after.values().all(|times| *times == 1));
}

async fn a_wish_that_cannot_be_met_is_refused_before_anything_starts(backends: Backends) {
    let models = models().await;
    let place = Place::new(backends, &models, 5).await;
    let refused = async |path: &str, body: Value| {
        let (status, problem) = place.refusal(Method::POST, path, body).await;
        (status, problem["code"].as_str().unwrap().to_owned(), problem)
    };
    let path = place.path("reindex");
    for (body, code, word) in [
        (json!({"embedding_model": "openai:third"}), "invalid_field", "embedding_model"),
        (json!({"passages_per_minute": 0}), "invalid_field", "passages_per_minute"),
        (json!({"model": "openai:second"}), "unknown_field", "model"),
    ] {
        let (status, got, problem) = refused(&path, body).await;
        assert_eq!((status, got.as_str()), (422, code), "{problem}");
        assert!(problem.to_string().contains(word), "{problem}");
    }
    let nowhere = "/api/collections/018f0000-0000-7000-8000-000000000001/reindex";
    assert_eq!(refused(nowhere, json!({})).await.0, 404);
    for rest in ["reindex/pause", "reindex/resume", "reindex/cancel", "reindex/rollback"] {
        let (status, code, problem) = refused(&place.path(rest), json!({})).await;
        assert_eq!((status, code.as_str()), (409, "no_such_generation"), "{rest}: {problem}");
    }
    assert_eq!(place.states().await, [state("openai:first", "current")]);
    assert!(sent(&models, "second").is_empty());
}
