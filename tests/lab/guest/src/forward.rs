//! Hands every connection on to another address: `forward 127.0.0.1:8080 10.0.2.2:8080`.
//!
//! Presigned URLs name the local cloud where the host sees it, and the signature covers that name. With this in the virtual
//! machine, the same URLs work there.

use std::io::{self, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::{env, iter};

fn main() -> ExitCode {
    let given: Vec<String> = env::args().skip(1).collect();
    let [listen, to] = given.as_slice() else {
        eprintln!("usage: forward LISTEN-ADDRESS TO-ADDRESS");
        return ExitCode::FAILURE;
    };
    match serve(listen, to) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("forward: cannot listen at {listen}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves for ever. Says at which port, since 0 lets the system choose one.
fn serve(listen: &str, to: &str) -> io::Result<()> {
    let listener = TcpListener::bind(listen)?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    for connection in iter::repeat_with(|| listener.accept()) {
        let to = to.to_owned();
        // One that cannot be accepted, or not be handed on, is its own affair: the others go on.
        if let Ok((near, _)) = connection {
            thread::spawn(move || {
                if let Err(error) = hand_on(near, &to) {
                    eprintln!("forward: {to}: {error}");
                }
            });
        }
    }
    Ok(())
}

/// Both ways at once. The end of one way is handed on, and the other goes on until it ends.
fn hand_on(near: TcpStream, to: &str) -> io::Result<()> {
    let far = TcpStream::connect(to)?;
    let (from_near, to_far) = (near.try_clone()?, far.try_clone()?);
    let out = thread::spawn(move || copy(from_near, to_far));
    let back = copy(far, near);
    // A thread that panicked has copied nothing more; its connections are closed either way.
    out.join().unwrap_or(Ok(())).and(back)
}

fn copy(mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
    io::copy(&mut from, &mut to)?;
    // Already gone is as good as shut.
    let _ = to.shutdown(Shutdown::Write);
    Ok(())
}
