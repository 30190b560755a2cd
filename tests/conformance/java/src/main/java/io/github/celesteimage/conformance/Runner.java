package io.github.celesteimage.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.TlsChannelCredentials;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.stream.Stream;

/** The conformance runner in Java: makes the calls of a plan and reports their outcomes. */
public final class Runner {
  private Runner() {}

  public static void main(String[] arguments) throws IOException {
    if (arguments.length != 2) {
      System.err.println("usage: Runner PLAN OUTCOMES");
      System.exit(2);
    }
    JsonObject plan = JsonParser.parseString(Files.readString(Path.of(arguments[0]))).getAsJsonObject();
    String transport = plan.get("transport").getAsString();
    if (!transport.equals("grpc")) {
      System.err.println("the Java runner has no transport " + transport);
      System.exit(2);
    }
    Map<String, ManagedChannel> channels = new HashMap<>();
    JsonArray outcomes = new JsonArray();
    for (JsonElement element : plan.getAsJsonArray("cases")) {
      JsonObject planned = element.getAsJsonObject();
      String place = planned.get("address") + " " + planned.get("tls");
      if (!channels.containsKey(place)) {
        channels.put(place, connect(planned.get("address").getAsString(), planned.getAsJsonObject("tls")));
      }
      runAtOnce(planned, channels.get(place)).forEach(outcomes::add);
    }
    channels.values().forEach(ManagedChannel::shutdownNow);
    JsonObject report = new JsonObject();
    report.add("outcomes", outcomes);
    Files.writeString(Path.of(arguments[1]), report.toString());
  }

  /** Makes the call of a case as often as planned, at the same time. Returns the outcomes. */
  private static List<JsonObject> runAtOnce(JsonObject planned, ManagedChannel channel) {
    int count = planned.has("at_once") ? planned.get("at_once").getAsInt() : 1;
    ExecutorService threads = Executors.newFixedThreadPool(count);
    List<CompletableFuture<JsonObject>> calls =
        Stream.generate(() -> CompletableFuture.supplyAsync(() -> new Call(planned, channel).run(), threads))
            .limit(count)
            .toList();
    List<JsonObject> outcomes = calls.stream().map(CompletableFuture::join).toList();
    threads.shutdown();
    return outcomes;
  }

  /** Returns a channel with TLS, if files of certificates are planned. */
  private static ManagedChannel connect(String address, JsonObject tls) throws IOException {
    if (tls == null) {
      return Grpc.newChannelBuilder(address, InsecureChannelCredentials.create()).build();
    }
    TlsChannelCredentials.Builder credentials =
        TlsChannelCredentials.newBuilder().trustManager(new File(tls.get("ca").getAsString()));
    if (tls.has("cert")) {
      credentials.keyManager(new File(tls.get("cert").getAsString()), new File(tls.get("key").getAsString()));
    }
    return Grpc.newChannelBuilder(address, credentials.build()).build();
  }
}
