//! `probe`: whether a server is well. For images without a shell or curl, such as ours.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::answer::Answer;
use crate::fault::Fault;

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks, and shows the answer.
pub fn run(url: &str) -> Result<Answer, Fault> {
    let fault = || Fault::new(format!("{url} cannot be asked"));
    let Some((address, path)) = split(url) else {
        return Err(fault()
            .because("it is no address of plain HTTP")
            .help("name one such as http://127.0.0.1:8080/readyz"));
    };
    let answer =
        ask(&address, &path).map_err(|error| fault().because(error).help("is it running, and is that its address?"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status.is_empty() {
        return Err(fault().because("what answers is no HTTP server"));
    }
    Ok(Answer { text: format!("{status} {}\n", body.trim()), code: u8::from(status != "200"), faults: Vec::new() })
}

fn ask(address: &str, path: &str) -> std::io::Result<String> {
    let mut last = std::io::Error::other("there is no such host");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
                let mut answer = Vec::new();
                stream.take(1 << 20).read_to_end(&mut answer)?;
                return Ok(String::from_utf8_lossy(&answer).into_owned());
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Host with port, and path.
fn split(url: &str) -> Option<(String, String)> {
    let rest = url.strip_prefix("http://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let sound = !host.is_empty() && url.chars().all(|letter| letter.is_ascii_graphic());
    sound.then(|| (if has_port { host.to_owned() } else { format!("{host}:80") }, format!("/{path}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let of = |url| split(url).map(|(address, path)| format!("{address} {path}"));
        assert_eq!(of("http://a.b:8080/readyz").as_deref(), Some("a.b:8080 /readyz"));
        assert_eq!(of("http://[::1]:1").as_deref(), Some("[::1]:1 /"));
        assert_eq!(of("http://a/b/c?d").as_deref(), Some("a:80 /b/c?d"));
        for url in ["https://a/", "a:80", "http:///", "http://a/b\r\nX: y"] {
            assert_eq!(of(url), None, "{url}");
        }
    }
}
