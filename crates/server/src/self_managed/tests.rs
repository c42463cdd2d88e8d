use std::collections::BTreeMap;
use std::sync::Mutex;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{ServerName, UnixTime};

use super::*;

const WEBHOOK: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/autoscaler-guard";
const SECRETS: &str = "/api/v1/namespaces/guard/secrets";

/// Objects by their path, with resourceVersions as API servers keep them.
#[derive(Default)]
struct Cluster {
    objects: Mutex<BTreeMap<String, Value>>,
    /// Somebody else creates the Secret first, with this in it.
    faster: Mutex<Option<Value>>,
}

impl Cluster {
    fn with_webhook() -> Self {
        let cluster = Self::default();
        let webhook = json!({"metadata": {"resourceVersion": "1"}, "webhooks": [{"name": "a", "clientConfig": {}}]});
        cluster.objects.lock().unwrap().insert(WEBHOOK.to_owned(), webhook);
        cluster
    }

    fn pair(&self) -> Pair {
        Pair::read(&self.objects.lock().unwrap()[&format!("{SECRETS}/tls")]).expect("there is a pair")
    }

    fn trusted(&self) -> String {
        let objects = self.objects.lock().unwrap();
        let bundle = objects[WEBHOOK].pointer("/webhooks/0/clientConfig/caBundle").and_then(Value::as_str);
        String::from_utf8(BASE64_STANDARD.decode(bundle.unwrap_or_default()).unwrap()).unwrap()
    }
}

impl Api for Cluster {
    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let mut objects = self.objects.lock().unwrap();
        let status = |code| Failure::Status(code, format!("{code}"));
        match method {
            Method::GET => objects.get(path).cloned().ok_or(status(404)),
            Method::POST => {
                let body = body.expect("there is a body");
                let path = format!("{path}/{}", body["metadata"]["name"].as_str().expect("it has a name"));
                if let Some(other) = self.faster.lock().unwrap().take() {
                    objects.insert(path.clone(), other);
                }
                if objects.contains_key(&path) {
                    return Err(status(409));
                }
                let mut object = body.clone();
                object["metadata"]["resourceVersion"] = json!("1");
                objects.insert(path, object);
                Ok(Value::Null)
            }
            Method::PUT => {
                let body = body.expect("there is a body");
                let present = objects.get_mut(path).ok_or(status(404))?;
                if present["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] {
                    return Err(status(409));
                }
                *present = body.clone();
                present["metadata"]["resourceVersion"] = json!(format!("{:?}", SystemTime::now()));
                Ok(Value::Null)
            }
            _ => {
                let patch: json_patch::Patch = serde_json::from_value(body.expect("there is a body").clone()).unwrap();
                let present = objects.get_mut(path).ok_or(status(404))?;
                json_patch::patch(present, &patch).map_err(|_| status(422))?;
                Ok(Value::Null)
            }
        }
    }
}

fn managed(test: &str) -> SelfManaged {
    let folder = std::env::temp_dir().join(format!("autoscaler-guard-pair-{test}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    SelfManaged {
        namespace: "guard".to_owned(),
        secret: "tls".to_owned(),
        service: "autoscaler-guard".to_owned(),
        host: Host::ApiServer,
        trusted_by: "autoscaler-guard".to_owned(),
        files: CertificateFiles {
            certificate: folder.join("tls.crt"),
            key: folder.join("tls.key"),
            client_authority: None,
        },
    }
}

/// Whether a client that trusts a bundle takes the certificate in the files, as an API server would.
fn is_taken(bundle: &str, files: &CertificateFiles, now: SystemTime) -> bool {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let Ok(verifier) = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build() else {
        return false;
    };
    let certificate = CertificateDer::from_pem_file(&files.certificate).unwrap();
    let name = ServerName::try_from("autoscaler-guard.guard.svc").unwrap();
    let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap());
    verifier.verify_server_cert(&certificate, &[], &name, &[], now).is_ok()
}

fn settle(managed: &SelfManaged, cluster: &Cluster, now: SystemTime) -> Settled {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(managed.settle(cluster, now)).unwrap()
}

/// Some day that has its time of day, whenever the tests run.
fn start() -> SystemTime {
    UNIX_EPOCH + Duration::from_hours(500_000)
}

#[test]
fn a_pair_is_made_trusted_and_can_be_served() {
    let (managed, cluster) = (managed("made"), Cluster::with_webhook());
    assert_eq!(settle(&managed, &cluster, start()), Settled::Trusted);
    assert!(is_taken(&cluster.trusted(), &managed.files, start()));
    crate::Certificate::load(managed.files.clone(), Host::ApiServer).expect("it can be served");
    // Nothing changes for as long as nothing is due.
    let before = (cluster.pair(), cluster.trusted());
    settle(&managed, &cluster, start() + DAY);
    assert_eq!((cluster.pair(), cluster.trusted()), before);
}

#[test]
fn it_is_made_before_anybody_can_trust_it() {
    let (managed, cluster) = (managed("early"), Cluster::default());
    assert_eq!(settle(&managed, &cluster, start()), Settled::Nobody);
    assert!(managed.files.certificate.exists());
}

/// Day by day for 25 years, with a replica that looks a day late: whoever trusts the bundle takes what is served, all
/// the time.
#[test]
fn renewals_cost_no_answer() {
    let (one, late, cluster) = (managed("renewed"), managed("late"), Cluster::with_webhook());
    let (mut certificates, mut authorities) = (0, 0);
    let mut before: Option<Pair> = None;
    for week in 0..52 * 25 {
        let now = start() + DAY * (7 * week);
        settle(&one, &cluster, now);
        let pair = cluster.pair();
        if let Some(before) = before.replace(pair.clone()) {
            certificates += u32::from(before.certificate != pair.certificate);
            authorities += u32::from(before.authorities != pair.authorities);
            // The other has not looked yet.
            assert!(is_taken(&cluster.trusted(), &late.files, now), "the late one in week {week}");
        }
        settle(&late, &cluster, now);
        for managed in [&one, &late] {
            assert!(is_taken(&cluster.trusted(), &managed.files, now), "week {week}");
        }
        assert!(pair.expires().unwrap() > now + RENEWED - 7 * DAY, "week {week}");
    }
    assert!(certificates > 100 && authorities == 2, "{certificates} certificates, {authorities} authorities");
    assert!(cluster.trusted().matches("BEGIN").count() <= TRUSTED);
}

#[test]
fn of_two_replicas_one_makes_it() {
    let (one, two, cluster) = (managed("one"), managed("two"), Cluster::with_webhook());
    let other = Pair::new(&one.names(), start()).unwrap();
    let secret = json!({"metadata": {"resourceVersion": "1"}, "data": other.data()});
    *cluster.faster.lock().unwrap() = Some(secret);
    settle(&one, &cluster, start());
    settle(&two, &cluster, start());
    assert_eq!(cluster.pair(), other);
    let text = |managed: &SelfManaged| fs::read_to_string(&managed.files.certificate).unwrap();
    assert_eq!(text(&one), text(&two));
}

/// Somebody deletes the Secret, takes the bundle away, or puts another's pair there.
#[test]
fn what_is_broken_is_made_anew() {
    let (managed, cluster) = (managed("broken"), Cluster::with_webhook());
    settle(&managed, &cluster, start());
    cluster.objects.lock().unwrap().get_mut(WEBHOOK).unwrap()["webhooks"][0]["clientConfig"] = json!({});
    settle(&managed, &cluster, start());
    assert!(is_taken(&cluster.trusted(), &managed.files, start()));
    for data in [None, Some(json!({})), Some(json!({"tls.crt": "YQ==", "tls.key": "YQ==", "ca.crt": "", "ca.key": ""}))]
    {
        let old = cluster.trusted();
        let path = format!("{SECRETS}/tls");
        match data {
            None => _ = cluster.objects.lock().unwrap().remove(&path),
            Some(data) => cluster.objects.lock().unwrap().get_mut(&path).unwrap()["data"] = data,
        }
        settle(&managed, &cluster, start());
        assert!(is_taken(&cluster.trusted(), &managed.files, start()));
        // A replica that still serves the old pair is trusted, too.
        let last = CertificateDer::pem_slice_iter(old.as_bytes()).next().unwrap().unwrap();
        assert!(cluster.trusted().contains(&to_pem(&last)));
    }
}
