//! Is the configuration what the sources say, and is what is wrong refused by name?

use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;

use super::*;

const KEY: &str = "an-admin-key-of-good-length";

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("quaestor.toml");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

fn load_env(pairs: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    load(&Sources { environment: Environment::of(pairs), ..Sources::default() })
}

fn refusal(text: &str) -> String {
    let (_dir, path) = file(text);
    let sources = Sources { file: Some(path), ..Sources::default() };
    load(&sources).unwrap_err().to_string()
}

#[test]
fn each_source_is_laid_over_the_one_before() {
    let (_dir, path) = file(
        "[server]\nlisten = \"127.0.0.1:1\"\n[workers]\nlease_s = 61\ndrain_s = 5\n\
         [parse]\nmax_pages = 7\n",
    );
    let settings = load(&Sources {
        file: Some(path.clone()),
        environment: Environment::of(&[
            ("QUAESTOR_LISTEN", "127.0.0.1:2"),
            ("QUAESTOR_WORKERS__LEASE_S", "62"),
            ("QUAESTOR_CHAT", ""),
            ("QUAESTOR_MODELS__EMBED_DIMENSIONS", "384"),
            ("QUAESTOR_SERVER__ALLOWED_ORIGINS", "https://a.example, https://b.example"),
        ]),
        flags: vec![Flag {
            flag: "--listen",
            key: "server.listen".to_owned(),
            value: "127.0.0.1:3".to_owned(),
        }],
    })
    .unwrap();
    let config = &settings.config;
    assert_eq!(config.server.listen.port(), 3);
    assert_eq!(config.workers.lease_s, 62);
    assert_eq!(config.workers.drain_s, 5);
    assert_eq!(config.parse.max_pages, 7);
    assert_eq!(config.models.embed_dimensions, Some(384));
    assert_eq!(config.jobs.chat_deadline_s, 300);
    assert_eq!(config.server.allowed_origins, ["https://a.example", "https://b.example"]);
    let origin =
        |key: &str| settings.in_force.iter().find(|row| row.key == key).unwrap().origin.clone();
    assert_eq!(origin("server.listen"), "the flag --listen");
    assert_eq!(origin("workers.lease_s"), "the variable QUAESTOR_WORKERS__LEASE_S");
    assert_eq!(origin("workers.drain_s"), path.display().to_string());
    assert_eq!(origin("models.chat"), "default");
}

#[test]
fn every_name_that_the_design_promises_is_read() {
    let home = tempfile::tempdir().unwrap();
    let settings = load_env(&[
        ("QUAESTOR_LISTEN", "127.0.0.1:9"),
        ("QUAESTOR_DATA_DIR", home.path().to_str().unwrap()),
        ("QUAESTOR_DATABASE_URL", "sqlite:x.db"),
        ("QUAESTOR_QUEUE_URL", "memory:"),
        ("QUAESTOR_EVENTS_URL", "memory:"),
        ("QUAESTOR_OBJECTS_URL", "file:objects"),
        ("QUAESTOR_ADMIN_KEY", KEY),
        ("QUAESTOR_CHAT", "openai:m,offline"),
        ("QUAESTOR_EMBED", "none"),
        ("OPENAI_API_KEY", "12345"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:1/v1"),
        ("ANTHROPIC_API_KEY", "a-key"),
        ("ANTHROPIC_BASE_URL", "http://127.0.0.1:2"),
        ("AZURE_OPENAI_ENDPOINT", "http://127.0.0.1:3"),
        ("AZURE_OPENAI_API_KEY", "b-key"),
        ("AZURE_OPENAI_API_VERSION", "2024-10-21"),
        ("AZURE_TENANT_ID", "t"),
        ("AZURE_CLIENT_ID", "c"),
        ("AZURE_CLIENT_SECRET", "s"),
    ])
    .unwrap();
    let config = settings.config;
    assert_eq!(config.models.anthropic.api_key.unwrap().expose_secret(), "a-key");
    assert_eq!(config.models.anthropic.base_url, "http://127.0.0.1:2");
    assert_eq!(config.models.azure.endpoint.as_deref(), Some("http://127.0.0.1:3"));
    assert_eq!(config.models.azure.api_key.unwrap().expose_secret(), "b-key");
    assert_eq!(config.models.azure.api_version, "2024-10-21");
    assert_eq!(config.models.azure.client_secret.unwrap().expose_secret(), "s");
    assert_eq!(config.data.dir, home.path());
    assert_eq!(config.server.admin_key.unwrap().expose_secret(), KEY);
    assert_eq!(config.models.chat.to_string(), "openai:m,offline");
    // A key of digits alone is still a text.
    assert_eq!(config.models.openai.api_key.unwrap().expose_secret(), "12345");
    assert!(matches!(settings.embedder, EmbedderChoice::None(_)));
}

#[test]
fn an_unknown_key_is_refused_with_the_one_that_was_meant() {
    for (text, parts) in [
        ("[server]\nlisen = \"x\"", &["server.lisen", "quaestor.toml", "`server.listen`"][..]),
        ("listen = \"x\"", &["`listen`", "`server.listen`"]),
        ("[sever]\nlisten = \"x\"", &["`sever`", "`server`"]),
        ("[workers.slots]\nchat_retreive = 1", &["`workers.slots.chat_retrieve`"]),
    ] {
        let sentence = refusal(text);
        for part in parts {
            assert!(sentence.contains(part), "{text}: {sentence}");
        }
    }
    for (name, part) in [
        ("QUAESTOR_WORKERS__LEESE_S", "QUAESTOR_WORKERS__LEASE_S"),
        ("QUAESTOR_LISTN", "QUAESTOR_LISTEN"),
        ("QUAESTOR_WHAT__EVER", "QUAESTOR_WHAT__EVER"),
    ] {
        let sentence = load_env(&[(name, "1")]).unwrap_err().to_string();
        assert!(sentence.contains(part), "{sentence}");
    }
    let settings = load_env(&[("QUAESTOR_PORT", "tcp://x"), ("QUAESTOR_HOSTGROUP", "x")]).unwrap();
    assert_eq!(settings.warnings.len(), 1, "{:?}", settings.warnings);
}

#[test]
fn a_wrong_value_is_refused_with_key_source_and_what_was_expected() {
    for (text, parts) in [
        ("[server]\nlisten = \"here\"", &["server.listen", "127.0.0.1:8080", "quaestor.toml"][..]),
        ("[workers]\nlease_s = \"long\"", &["workers.lease_s", "seconds", "long"]),
        ("[workers]\nlease_s = -3", &["workers.lease_s", "-3"]),
        ("[workers.slots]\nchat_generate = 0", &["workers.slots.chat_generate", "at least 1"]),
        ("workers = 3", &["`workers`", "a section"]),
        ("[log]\nformat = \"xml\"", &["log.format", "`json`"]),
        ("[models]\nchat = \"gemini\"", &["models.chat", "no chat provider", "[models.servers]"]),
        ("[models]\nchat = \"openai:c\"", &["OPENAI_API_KEY"]),
        ("[models]\nrerank = \"jina:x\"", &["models.rerank", "`jina`", "cohere:<model>"]),
        ("[models]\nrerank = \"cohere:m\"", &["models.rerank_api_key", "COHERE_API_KEY"]),
        ("[models]\nrerank = \"tei:m\"", &["models.rerank_url", "say where it is"]),
        ("[models]\nrerank = \"cross-encoder:/nowhere\"", &["/nowhere has no config.json"]),
        ("[models]\nrerank_candidates = 5000", &["models.rerank_candidates", "at most 500"]),
        ("[models]\nrerank_url = \"nowhere\"", &["models.rerank_url"]),
        ("[models]\nembed = \"minilm:/nowhere\"", &["/nowhere", "config.json", "make model"]),
        ("[data]\nqueue_url = \"kafka://x\"", &["data.queue_url", "amqp://"]),
        ("[data]\nobjects_url = \"s3://files\"", &["s3.access_key_id", "AWS_ACCESS_KEY_ID"]),
        ("[data]\nreplica_url = \"postgres://x\"", &["data.replica_url", "PostgreSQL too"]),
        ("[s3]\nencryption = \"rot13\"", &["s3.encryption", "`AES256`"]),
        ("[workers]\nheartbeat_s = 30", &["workers.heartbeat_s", "quaestor.toml", "runs out"]),
        (
            "[workers.slots]\nchat_generate = 9\n[workers.slots_max]\nchat_generate = 4",
            &["workers.slots_max.chat_generate", "it is 4", "workers.slots.chat_generate", "9"],
        ),
        ("[workers.wait_s]\nchat_generate = 0", &["workers.wait_s.chat_generate", "it is 0"]),
        ("[workers.wait_s]\nchat_sing = 1", &["workers.wait_s.chat_sing"]),
        ("[scaler.max]\nchat = 0", &["scaler.max.chat", "scaler.min.chat"]),
        ("[scaler.min]\nfiles = 1", &["scaler.min.files"]),
        ("[server]\nallowed_origins = [\"*\"]", &["server.allowed_origins", "`*`"]),
        ("[log]\nfilter = \"info,x=loud\"", &["log.filter"]),
        ("[server", &["quaestor.toml is not TOML"]),
    ] {
        let sentence = refusal(text);
        for part in parts {
            assert!(sentence.contains(part), "{text}: {sentence}");
        }
    }
    let sentence = load_env(&[("QUAESTOR_PARSE__CPU_S", "1m")]).unwrap_err().to_string();
    assert!(sentence.contains("QUAESTOR_PARSE__CPU_S") && sentence.contains("1m"), "{sentence}");
}

#[test]
fn a_model_that_cannot_be_asked_is_refused_with_what_to_set() {
    let azure = "[models.azure]\nendpoint = \"https://x.openai.azure.com\"\n";
    for (models, parts) in [
        ("chat = \"anthropic:c\"", &["models.anthropic.api_key", "ANTHROPIC_API_KEY"][..]),
        ("chat = \"azure:d\"", &["models.azure.endpoint", "AZURE_OPENAI_ENDPOINT"]),
        (
            &format!("chat = \"azure:d\"\n{azure}"),
            &["models.azure.api_key", "AZURE_OPENAI_API_KEY", "AZURE_TENANT_ID"],
        ),
        (
            &format!("chat = \"azure:d\"\n{azure}tenant_id = \"t\"\nclient_id = \"c\""),
            &["models.azure.client_secret", "AZURE_CLIENT_SECRET"],
        ),
        (&format!("embed = \"azure:a/b\"\n{azure}"), &["models.embed", "a/b", "deployment"]),
        (
            &format!("chat = \"azure:d\"\n{azure}api_version = \"latest\""),
            &["models.azure.api_version", "`latest`", "2024-10-21"],
        ),
        (
            "chat = \"lokal:m\"\n[models.servers.local]\nbase_url = \"http://127.0.0.1:1/v1\"",
            &["models.chat", "`lokal`", "did you mean `local`?"],
        ),
        ("chat = \"gpu:m\"", &["models.chat", "[models.servers.gpu]", "base_url"]),
        ("[models.servers.local]\napi_key = \"k\"", &["models.servers.local.base_url"]),
        (
            "[models.servers.openai]\nbase_url = \"http://127.0.0.1:1\"",
            &["models.servers.openai", "name"],
        ),
        (
            "[models.servers.local]\nbase_uri = \"http://127.0.0.1:1\"",
            &["models.servers.local.base_uri"],
        ),
        (
            "[models.anthropic]\nbase_url = \"https://me:very-secret@proxy.example\"",
            &["models.anthropic.base_url", "a password"],
        ),
        (
            "chat = \"openai:m\"\n[models.openai]\napi_key = \"sk-very-secret\\n\"",
            &["models.openai.api_key", "copy it anew"],
        ),
        (
            "embed = \"gpu:e5\"\n[models.servers.gpu]\nbase_url = \"http://127.0.0.1:1/v1\"",
            &["models.embed_dimensions", "`gpu:e5`", "not known"],
        ),
        (
            "embed = \"openai:text-embedding-3-small\"\nembed_dimensions = 4096\n\
             [models.openai]\napi_key = \"k\"",
            &["models.embed_dimensions", "4096", "1536"],
        ),
        (
            "embed = \"openai:text-embedding-ada-002\"\nembed_dimensions = 512\n\
             [models.openai]\napi_key = \"k\"",
            &["models.embed_dimensions", "512", "1536"],
        ),
    ] {
        let sentence = refusal(&format!("[models]\n{models}"));
        for part in parts {
            assert!(sentence.contains(part), "{models}: {sentence}");
        }
        assert!(!sentence.contains("secret\n") && !sentence.contains("very-secret"), "{sentence}");
    }
}

#[test]
fn servers_have_names_of_their_own_in_every_source() {
    let (_dir, path) = file(
        "[models]\nchat = \"gpu:qwen3:8b,gpu_2:m,offline\"\n\
         [models.servers.gpu]\nbase_url = \"http://127.0.0.1:1/v1\"\n",
    );
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("key");
    std::fs::write(&secret, "from-a-file\n").unwrap();
    let settings = load(&Sources {
        file: Some(path),
        environment: Environment::of(&[
            ("QUAESTOR_MODELS__SERVERS__GPU_2__BASE_URL", "http://127.0.0.1:2/v1"),
            ("QUAESTOR_MODELS__SERVERS__GPU_2__API_KEY_FILE", secret.to_str().unwrap()),
        ]),
        flags: Vec::new(),
    })
    .unwrap();
    let servers = &settings.config.models.servers;
    assert_eq!(servers["gpu"].base_url, "http://127.0.0.1:1/v1");
    assert_eq!(servers["gpu_2"].api_key.as_ref().unwrap().expose_secret(), "from-a-file");
    let row = |key: &str| settings.in_force.iter().find(|row| row.key == key).unwrap();
    assert_eq!(row("models.servers.gpu_2.api_key").value, HIDDEN);
    assert_eq!(
        row("models.servers.gpu_2.base_url").origin,
        "the variable QUAESTOR_MODELS__SERVERS__GPU_2__BASE_URL"
    );
    assert!(settings.in_force.iter().all(|row| !row.key.contains('*')));
    let twice = load_env(&[
        ("QUAESTOR_MODELS__SERVERS__A__API_KEY", "k"),
        ("QUAESTOR_MODELS__SERVERS__A__API_KEY_FILE", "/k"),
    ]);
    assert!(twice.unwrap_err().to_string().contains("both set"));
    let wrong = load_env(&[("QUAESTOR_MODELS__SERVERS__A__BASE_URI", "x")]).unwrap_err();
    assert!(wrong.to_string().contains("BASE_URI"), "{wrong}");
}

#[test]
fn what_is_legal_and_risky_is_warned_about() {
    let settings = load_env(&[
        ("QUAESTOR_WORKERS__HEARTBEAT_S", "15"),
        ("QUAESTOR_LISTEN", "0.0.0.0:80"),
        ("QUAESTOR_EMBED", "none"),
        ("ANTHROPIC_BASE_URL", "http://proxy.example"),
        ("ANTHROPIC_API_KEY", "k"),
    ])
    .unwrap();
    let text = settings.warnings.join("\n");
    assert!(text.contains("workers.heartbeat_s") && text.contains("TLS"), "{text}");
    assert!(text.contains("models.anthropic.base_url"), "{text}");
}

#[test]
fn a_secret_comes_from_its_file_and_not_from_both() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, format!("{KEY}\n")).unwrap();
    let named = path.to_str().unwrap();
    let settings = load_env(&[("QUAESTOR_ADMIN_KEY_FILE", named)]).unwrap();
    assert_eq!(settings.config.server.admin_key.unwrap().expose_secret(), KEY);
    let row = settings.in_force.iter().find(|row| row.key == "server.admin_key").unwrap();
    assert_eq!(row.origin, "the variable QUAESTOR_ADMIN_KEY_FILE");

    let twice = load_env(&[("QUAESTOR_ADMIN_KEY", KEY), ("QUAESTOR_ADMIN_KEY_FILE", named)]);
    assert!(twice.unwrap_err().to_string().contains("both set"));
    std::fs::write(&path, "\n").unwrap();
    let empty = load_env(&[("QUAESTOR_ADMIN_KEY_FILE", named)]).unwrap_err().to_string();
    assert!(empty.contains("is empty"), "{empty}");
    let absent = load_env(&[("OPENAI_API_KEY_FILE", "/no/such")]).unwrap_err().to_string();
    assert!(absent.contains("OPENAI_API_KEY_FILE") && absent.contains("/no/such"), "{absent}");
}

#[test]
fn secrets_stand_in_no_output() {
    let canary = "canary-secret-that-is-long-enough";
    let settings = load_env(&[
        ("QUAESTOR_ADMIN_KEY", canary),
        ("OPENAI_API_KEY", canary),
        ("ANTHROPIC_API_KEY", canary),
        ("AZURE_OPENAI_API_KEY", canary),
        ("AZURE_OPENAI_AD_TOKEN", canary),
        ("AZURE_CLIENT_SECRET", canary),
        ("QUAESTOR_MODELS__SERVERS__GPU__API_KEY", canary),
        ("QUAESTOR_MODELS__SERVERS__GPU__BASE_URL", "http://127.0.0.1:1/v1"),
        ("AWS_SECRET_ACCESS_KEY", canary),
        ("QUAESTOR_DATABASE_URL", &format!("postgres://q:{canary}@db/q")),
        ("QUAESTOR_QUEUE_URL", &format!("amqp://q:{canary}@mq/q")),
        ("QUAESTOR_QUEUE_MANAGEMENT_URL", &format!("http://q:{canary}@mq:15672")),
        ("QUAESTOR_EVENTS_URL", &format!("redis://q:{canary}@r")),
    ])
    .unwrap();
    let shown = format!(
        "{settings:?} {} {}",
        serde_json::to_string(&settings.config).unwrap(),
        serde_json::to_string(&settings.in_force).unwrap()
    );
    assert!(!shown.contains("canary"), "{shown}");
    assert!(shown.contains(HIDDEN));
    for text in ["[server]\nadmin_key = 31415926535", "[server]\nadmin_key = \"3141592653\""] {
        let sentence = refusal(text);
        assert!(sentence.contains("server.admin_key") && !sentence.contains("31415"), "{sentence}");
    }
}

#[test]
fn a_server_that_others_reach_needs_a_key() {
    let (home, open) = ("127.0.0.1:80".parse().unwrap(), "0.0.0.0:80".parse().unwrap());
    assert!(check_exposure(home, false, false).is_ok());
    assert!(check_exposure(open, true, false).is_ok());
    assert!(check_exposure(open, false, true).is_ok());
    let sentence = check_exposure(open, false, false).unwrap_err().to_string();
    assert!(sentence.contains("QUAESTOR_ADMIN_KEY") && sentence.contains("0.0.0.0"), "{sentence}");
}

#[test]
fn the_list_of_keys_is_the_structs() {
    fn leaves(value: &serde_json::Value, above: &str, found: &mut Vec<String>) {
        match value.as_object() {
            Some(section) => {
                for (name, inner) in section {
                    let path =
                        if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
                    leaves(inner, &path, found);
                }
            }
            None => found.push(above.to_owned()),
        }
    }
    let mut of_structs = Vec::new();
    let mut defaults = Config::default();
    // What has a chosen name stands as `*` in the list.
    defaults.models.servers.insert("*".to_owned(), CompatibleServer::default());
    let defaults = serde_json::to_value(defaults).unwrap();
    leaves(&defaults, "", &mut of_structs);
    let mut listed: Vec<&str> = KEYS.iter().map(|key| key.path).collect();
    for key in KEYS {
        let pointer = format!("/{}", key.path.replace('.', "/"));
        let kind = match defaults.pointer(&pointer) {
            Some(serde_json::Value::Number(number)) if number.is_f64() => ValueKind::Fraction,
            Some(serde_json::Value::Number(_)) => ValueKind::Number,
            Some(serde_json::Value::Bool(_)) => ValueKind::Flag,
            Some(serde_json::Value::Array(_)) => ValueKind::List,
            Some(serde_json::Value::String(_)) => ValueKind::Text,
            // Without a default, the type shows in no value.
            _ => key.kind,
        };
        assert_eq!(key.kind, kind, "{}", key.path);
    }
    of_structs.sort();
    listed.sort_unstable();
    assert_eq!(of_structs, listed);
}

#[test]
fn the_shipped_example_shows_every_key_with_its_default() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("quaestor.example.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let settings = load(&Sources { file: Some(path), ..Sources::default() }).unwrap();
    assert_eq!(
        serde_json::to_value(&settings.config).unwrap(),
        serde_json::to_value(Config::default()).unwrap(),
        "the example does not hold the defaults"
    );
    // A key without a default stands as `# name = example`; taking the `# ` away shows all.
    let shown: String = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.split_once(" = ").is_some_and(|(name, _)| is_name(name)) => rest,
            // A section whose name is chosen is not there by default.
            Some(rest) if rest.starts_with('[') && rest.ends_with(']') => rest,
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let table: toml::Table = shown.parse().unwrap();
    for key in KEYS {
        let value = key
            .path
            .split('.')
            .try_fold(&toml::Value::Table(table.clone()), |value, name| match name {
                "*" => value.as_table()?.values().next(),
                name => value.get(name),
            })
            .cloned();
        assert!(value.is_some(), "{} is not in the example", key.path);
        let names = [key.short.map(str::to_owned), Some(key.path.to_owned())];
        if let Some(short) = names.into_iter().flatten().find(|name| !name.contains('.')) {
            assert!(text.contains(&short), "{short} is not in the example");
        }
    }
    let (_dir, path) = file(&shown);
    match load(&Sources { file: Some(path), ..Sources::default() }) {
        Ok(_) => {}
        // The examples name folders that are not there.
        Err(ConfigError::Refused { key, .. }) => assert_eq!(key, "models.embed"),
        Err(error) => panic!("{error}"),
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

#[test]
fn a_schedule_that_never_comes_is_refused_by_its_key() {
    for (text, says) in [
        ("[schedules.check]\ncron = \"61 * * * *\"", ["`schedules.check.cron`", "five fields"]),
        ("[schedules.backup]\ncron = \"0 0 30 2 *\"", ["`schedules.backup.cron`", "never comes"]),
        ("[schedules.check]\nzone = \"Europe/Zuerich\"", ["`schedules.check.zone`", "IANA"]),
        ("[schedules.check]\nmissed = \"always\"", ["`schedules.check.missed`", "run_once"]),
        ("[check]\nread_percent = 101", ["`check.read_percent`", "from 1 to 100"]),
        // What there was, with what there is in its place.
        ("[backup]\nevery = \"hour\"", ["`backup.every`", "`schedules.backup.cron`"]),
        ("[backup]\nat = \"02:30\"", ["`backup.at`", "`30 2 * * *`"]),
    ] {
        let told = refusal(text);
        assert!(says.iter().all(|part| told.contains(part)), "{text}: {told}");
    }
    let told = load_env(&[("QUAESTOR_BACKUP__EVERY", "day")]).unwrap_err().to_string();
    assert!(told.contains("QUAESTOR_BACKUP__EVERY") && told.contains("cron"), "{told}");
}
