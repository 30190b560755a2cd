package io.github.celesteimage.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

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
      ManagedChannel channel = channels.computeIfAbsent(planned.get("address").getAsString(), Runner::connect);
      outcomes.add(new Call(planned, channel).run());
    }
    channels.values().forEach(ManagedChannel::shutdownNow);
    JsonObject report = new JsonObject();
    report.add("outcomes", outcomes);
    Files.writeString(Path.of(arguments[1]), report.toString());
  }

  private static ManagedChannel connect(String address) {
    return Grpc.newChannelBuilder(address, InsecureChannelCredentials.create()).build();
  }
}
