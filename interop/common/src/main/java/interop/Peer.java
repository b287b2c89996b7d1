package interop;

import java.util.List;

/** What a stack must be able to do to be hosted: services and clients made from a scenario, by number. */
public interface Peer {
  /** Names and versions of what runs here. */
  String describe();

  /** Starts an echo service on a free port of 127.0.0.1 and keeps what it receives. */
  Service serve(Scenario scenario) throws Exception;

  /** A client for the service at {@code url}; the conversation begins with the first message. */
  Client open(Scenario scenario, String url) throws Exception;

  interface Service extends AutoCloseable {
    String url();

    /** The texts that the application was given, in order. */
    List<String> received();

    /** Loses every security context, as a restart does; the sequences too where they live with it. */
    void forget() throws Exception;

    List<Secret> secrets() throws Exception;
  }

  interface Client extends AutoCloseable {
    /** Sends one message; the text of the reply, or null for a one-way message. */
    String send(String text) throws Exception;

    /** Ends the sequence (and the token, where the stack does so). Called once, before close. */
    void end() throws Exception;

    List<Secret> secrets() throws Exception;
  }

  /** A security context's secret, in base64, for recordings. */
  record Secret(String identifier, String instance, String secret) {}

  /** A scenario that this stack cannot run, and why. */
  final class Unsupported extends Exception {
    private static final long serialVersionUID = 1;

    public Unsupported(String reason) {
      super(reason);
    }
  }
}
