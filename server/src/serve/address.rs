//! Where the server listens, and where it may.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use tagus_engine::{Error, ErrorKind, Result};

/// Listens on an address, given as a host or address and a port.
///
/// # Errors
/// The address cannot be resolved, is beyond this machine without `insecure`, or is in use.
pub fn listen(address: &str, option: &str, insecure: bool) -> Result<TcpListener> {
    let resolved = resolve(address, option)?;
    if !insecure && let Some(far) = resolved.iter().find(|a| !is_loopback(a)) {
        return Err(refused(address, far));
    }
    let listener = TcpListener::bind(resolved.as_slice()).map_err(|error| unavailable(address, option, &error))?;
    listener.set_nonblocking(true).map_err(|error| unavailable(address, option, &error))?;
    Ok(listener)
}

fn resolve(address: &str, option: &str) -> Result<Vec<SocketAddr>> {
    let failed = |why: String| Error::invalid(listening(address), why, format!("write {option} as HOST:PORT"));
    let resolved: Vec<SocketAddr> = address.to_socket_addrs().map_err(|error| failed(error.to_string()))?.collect();
    if resolved.is_empty() { Err(failed("the host has no address".into())) } else { Ok(resolved) }
}

fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

fn listening(address: &str) -> String {
    format!("listening on {} failed", address.escape_debug())
}

fn refused(address: &str, far: &SocketAddr) -> Error {
    let why = match far.to_string() == address {
        true => "it is insecure: other machines could read and write without encryption or access control".to_owned(),
        false => format!("{far} is insecure: other machines could read and write without encryption or access control"),
    };
    Error::invalid(listening(address), why, "use a loopback address, or pass --insecure to allow it")
}

fn unavailable(address: &str, option: &str, error: &io::Error) -> Error {
    let (why, advice) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            "the address is in use".to_owned(),
            format!("stop the other server or choose another address with {option}"),
        ),
        io::ErrorKind::PermissionDenied => {
            ("it needs more rights".to_owned(), format!("choose a port above 1023 with {option}"))
        }
        _ => (error.to_string(), format!("choose another address with {option}")),
    };
    Error::new(ErrorKind::Unusable, listening(address), why, advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(address: &str, insecure: bool) -> String {
        let error = listen(address, "--grpc-addr", insecure).unwrap_err().to_string();
        assert!(!error.contains('\n'), "{error}");
        error
    }

    #[test]
    fn loopback_is_allowed() {
        for address in ["127.0.0.1:0", "127.8.9.1:0", "localhost:0"] {
            assert!(listen(address, "--grpc-addr", false).is_ok(), "{address}");
        }
        assert!(is_loopback(&"[::1]:80".parse().unwrap()));
        assert!(is_loopback(&"[::ffff:127.0.0.1]:80".parse().unwrap()));
    }

    #[test]
    fn addresses_beyond_this_machine_need_a_word() {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80", "[::ffff:192.0.2.1]:80"] {
            assert!(refusal(address, false).contains("insecure"), "{address}");
        }
        assert!(listen("0.0.0.0:0", "--grpc-addr", true).is_ok());
    }

    #[test]
    fn what_cannot_be_listened_on_says_what_to_do() {
        let taken = listen("127.0.0.1:0", "--grpc-addr", false).unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let error = refusal(&address, false);
        assert!(error.contains("in use") && error.contains("--grpc-addr"), "{error}");
        for address in ["", "nonsense", "127.0.0.1", "127.0.0.1:99999"] {
            assert!(refusal(address, false).contains("HOST:PORT"), "{address}");
        }
    }
}
