//! The way to a provider: encrypted, and through a company's proxy where the environment names one (A8).

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use longhaul_testkit::provider::{MockProvider, Step};
use longhaul_testkit::world::World;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;

use crate::programs::{ask, gateway, variables};

/// The provider's name, which the proxy alone knows.
const NAME: &str = "provider.test";
const PASSWORD: &str = "proxy-password-7";
const KEY: &str = "sk-ant-very-secret";

/// The provider behind encryption, with a certificate of a company's own authority.
struct Encrypted {
    port: u16,
    authority: String,
    _runtime: tokio::runtime::Runtime,
}

impl Encrypted {
    fn start(provider: u16) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let names = [NAME, "localhost"].map(str::to_owned);
        let params = CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let key = key.serialize_der().try_into().unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that does not trust us is what a test wants.
                    let Ok(mut stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let plain = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, provider));
                    let mut plain = plain.await.unwrap();
                    drop(tokio::io::copy_bidirectional(&mut stream, &mut plain).await);
                });
            }
        });
        Self {
            port,
            authority,
            _runtime: runtime,
        }
    }
}

/// What a proxy saw: the heads of requests, and then every byte on its way to the provider.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<u8>>>);

impl Seen {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    fn add(&self, bytes: &[u8]) {
        self.0.lock().unwrap().extend_from_slice(bytes);
    }
}

/// A proxy that wants a password and leads whatever is asked for to `to`.
fn proxy(to: u16) -> (u16, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Seen::default();
    let told = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, told) = (stream.unwrap(), told.clone());
            std::thread::spawn(move || pass(stream, to, &told));
        }
    });
    (port, seen)
}

fn pass(mut client: TcpStream, to: u16, seen: &Seen) {
    let mut head = String::new();
    let mut lines = BufReader::new(client.try_clone().unwrap());
    while !head.ends_with("\r\n\r\n") {
        if lines.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    seen.add(head.as_bytes());
    // "me:proxy-password-7"
    if !head.contains("Basic bWU6cHJveHktcGFzc3dvcmQtNw==") {
        let no = "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
        client.write_all(no.as_bytes()).unwrap();
        return;
    }
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).unwrap();
    client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
    let (from, into) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    std::thread::spawn(move || copy(from, into, None));
    copy(client, server, Some(seen));
}

fn copy(mut from: TcpStream, mut into: TcpStream, seen: Option<&Seen>) {
    let mut buffer = [0; 16 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        if let Some(seen) = seen {
            seen.add(&buffer[..n]);
        }
        if into.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    drop(into.shutdown(Shutdown::Both));
}

/// A world whose provider is encrypted and, by its name, known to a proxy alone.
struct Outside {
    world: World,
    provider: MockProvider,
    encrypted: Encrypted,
    proxy: u16,
    seen: Seen,
}

impl Outside {
    fn new() -> Self {
        let mut world = World::new(env!("CARGO_BIN_EXE_longhaul")).unwrap();
        let provider = MockProvider::start().unwrap();
        let encrypted = Encrypted::start(provider.port());
        let (proxy, seen) = proxy(encrypted.port);
        let authority = world.path("home/company.pem");
        std::fs::write(&authority, &encrypted.authority).unwrap();
        world.set_env("ANTHROPIC_API_KEY", KEY);
        world.set_env("SSL_CERT_FILE", authority);
        let mut outside = Self {
            world,
            provider,
            encrypted,
            proxy,
            seen,
        };
        outside.provider_at(NAME);
        outside.through(PASSWORD);
        outside
    }

    fn provider_at(&mut self, name: &str) {
        let url = format!("https://{name}:{}/s/k1", self.encrypted.port);
        self.world.set_env("ANTHROPIC_BASE_URL", url);
    }

    fn through(&mut self, password: &str) {
        let proxy = format!("http://me:{password}@127.0.0.1:{}", self.proxy);
        self.world.set_env("HTTPS_PROXY", proxy);
    }

    /// Asks through a gateway that is started with the variables as they are now.
    fn ask(&self) -> (u16, String) {
        gateway(&self.world, &["stop"]);
        let printed = gateway(&self.world, &["env"]).expect_code(0).stdout;
        // The program itself must not ask the proxy for the gateway.
        assert!(printed.contains("127.0.0.1,localhost"), "{printed}");
        let (url, token) = variables(&self.world, &printed);
        ask(&url, &token)
    }

    fn log(&self) -> String {
        let log = self.world.state().join("gateway.log");
        std::fs::read_to_string(log).unwrap_or_default()
    }
}

#[test]
fn a8_a_provider_is_reached_through_the_proxy_of_a_company() {
    let mut outside = Outside::new();
    outside
        .provider
        .script("k1", [Step::text("through the proxy")]);
    let (status, answer) = outside.ask();
    assert!(
        status == 200 && answer.contains("through the proxy"),
        "{status} {answer} {}",
        outside.log()
    );
    let seen = outside.seen.text();
    let asked = format!("CONNECT {NAME}:{} HTTP/1.1\r\n", outside.encrypted.port);
    assert!(seen.starts_with(&asked), "{seen}");
    assert!(
        !seen.contains(KEY) && !seen.contains("x-api-key"),
        "the proxy saw what it passed on: {seen}"
    );
    // `account test` goes the same way.
    let tested = outside
        .world
        .longhaul(&outside.world.home(), ["account", "test"]);
    assert!(tested.stdout.contains("works"), "{tested:?}");

    outside.through("wrong");
    let (status, answer) = outside.ask();
    assert!(
        status == 502 && answer.contains("wants a name and a password"),
        "{status} {answer}"
    );
    let log = outside.log();
    for secret in [KEY, PASSWORD, "me:wrong", "bWU6"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }

    let socks = format!("socks5://127.0.0.1:{}", outside.proxy);
    outside.world.set_env("HTTPS_PROXY", socks);
    let (status, answer) = outside.ask();
    assert!(
        status == 502 && answer.contains("HTTPS_PROXY is no http:// address"),
        "{status} {answer}"
    );
    outside.through(PASSWORD);
    outside.world.set_env("NO_PROXY", "example.org,.test");
    let before = outside.seen.text().len();
    let (status, answer) = outside.ask();
    assert!(
        status == 502 && answer.contains("cannot be reached"),
        "{status} {answer}"
    );
    assert_eq!(outside.seen.text().len(), before, "the proxy was asked");
}

#[test]
fn a13_a_certificate_that_nobody_vouches_for_is_refused_in_words() {
    let mut outside = Outside::new();
    // Loopback never goes through a proxy.
    outside.provider_at("localhost");
    outside.provider.script("k1", [Step::text("encrypted")]);
    let (status, answer) = outside.ask();
    assert!(
        status == 200 && answer.contains("encrypted"),
        "{status} {answer} {}",
        outside.log()
    );
    assert_eq!(outside.seen.text(), "");

    let other = outside.world.path("home/other.pem");
    std::fs::write(&other, Encrypted::start(1).authority).unwrap();
    outside.world.set_env("SSL_CERT_FILE", other);
    let (status, answer) = outside.ask();
    assert!(
        status == 502 && answer.contains("certificate is not trusted"),
        "{status} {answer}"
    );
    assert!(answer.contains("SSL_CERT_FILE"), "{answer}");
    // A good certificate of another name is none.
    outside.provider_at("127.0.0.1");
    let good = outside.world.path("home/company.pem");
    outside.world.set_env("SSL_CERT_FILE", good);
    let (status, answer) = outside.ask();
    assert!(
        status == 502 && answer.contains("certificate is not trusted"),
        "{status} {answer}"
    );
    assert_eq!(outside.provider.turns("k1").len(), 1, "the key went out");
    assert!(outside.log().contains("certificate"), "{}", outside.log());
}
