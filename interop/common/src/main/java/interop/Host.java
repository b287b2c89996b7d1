package interop;

import com.google.gson.Gson;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Reads commands, one JSON object a line, from standard input and answers each on standard output with its id. Commands run side by
 * side. What the stacks themselves print goes to standard error. The process ends when its input does.
 */
public final class Host {
  private final Gson gson = new Gson();
  private final Peer peer;
  private final PrintStream out;
  private final Map<String, Peer.Service> services = new ConcurrentHashMap<>();
  private final Map<String, Peer.Client> clients = new ConcurrentHashMap<>();
  private final AtomicInteger last = new AtomicInteger();

  private Host(Peer peer, PrintStream out) {
    this.peer = peer;
    this.out = out;
  }

  /** Takes over standard input and output before the stack is loaded. */
  public interface Maker {
    Peer make() throws Exception;
  }

  public static void run(Maker maker) throws Exception {
    PrintStream out = System.out;
    System.setOut(System.err);
    new Host(maker.make(), new PrintStream(out, true, StandardCharsets.UTF_8)).loop();
    System.exit(0);
  }

  private void loop() throws Exception {
    ExecutorService workers = Executors.newCachedThreadPool();
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      JsonObject command = JsonParser.parseString(line).getAsJsonObject();
      workers.execute(() -> answer(command));
    }
    workers.shutdownNow();
  }

  private void answer(JsonObject command) {
    JsonObject answer = new JsonObject();
    answer.add("id", command.get("id"));
    try {
      answer.add("ok", handle(command));
    } catch (Peer.Unsupported e) {
      answer.addProperty("unsupported", e.getMessage());
    } catch (Throwable e) {
      e.printStackTrace();
      answer.addProperty("error", causes(e));
    }
    synchronized (out) {
      out.println(gson.toJson(answer));
    }
  }

  private JsonElement handle(JsonObject command) throws Exception {
    switch (command.get("do").getAsString()) {
      case "describe": {
        JsonObject ok = new JsonObject();
        ok.addProperty("peer", peer.describe());
        return ok;
      }
      case "serve": {
        Peer.Service service = peer.serve(scenario(command));
        JsonObject ok = named(services, service, "service");
        ok.addProperty("url", service.url());
        return ok;
      }
      case "received":
        return gson.toJsonTree(service(command).received());
      case "forget":
        service(command).forget();
        return new JsonObject();
      case "open":
        return named(clients, peer.open(scenario(command), command.get("url").getAsString()), "client");
      case "send": {
        Peer.Client client = client(command);
        JsonArray replies = new JsonArray();
        for (JsonElement text : command.getAsJsonArray("texts")) replies.add(client.send(text.getAsString()));
        return replies;
      }
      case "end":
        client(command).end();
        return new JsonObject();
      case "secrets":
        return gson.toJsonTree(command.has("service") ? service(command).secrets() : client(command).secrets());
      case "stop": {
        String field = command.has("service") ? "service" : "client";
        AutoCloseable gone = (command.has("service") ? services : clients).remove(command.get(field).getAsString());
        if (gone != null) gone.close();
        return new JsonObject();
      }
      default:
        throw new IllegalArgumentException("unknown command " + command.get("do"));
    }
  }

  private Scenario scenario(JsonObject command) {
    return gson.fromJson(command.get("scenario"), Scenario.class);
  }

  private Peer.Service service(JsonObject command) {
    return existing(services, command.get("service").getAsString());
  }

  private Peer.Client client(JsonObject command) {
    return existing(clients, command.get("client").getAsString());
  }

  private <T> JsonObject named(Map<String, T> all, T one, String field) {
    String name = field + last.incrementAndGet();
    all.put(name, one);
    JsonObject ok = new JsonObject();
    ok.addProperty(field, name);
    return ok;
  }

  private static <T> T existing(Map<String, T> all, String name) {
    T one = all.get(name);
    if (one == null) throw new IllegalArgumentException("no " + name);
    return one;
  }

  private static String causes(Throwable e) {
    StringBuilder text = new StringBuilder();
    for (Throwable cause = e; cause != null && text.length() < 4000; cause = cause.getCause()) {
      text.append(text.length() == 0 ? "" : " <- ").append(cause);
    }
    return text.toString();
  }
}
