package io.github.celesteimage.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.TypeRegistry;
import com.google.protobuf.util.JsonFormat;
import com.google.rpc.BadRequest;
import com.google.rpc.DebugInfo;
import com.google.rpc.ErrorInfo;
import com.google.rpc.Help;
import com.google.rpc.LocalizedMessage;
import com.google.rpc.PreconditionFailure;
import com.google.rpc.QuotaFailure;
import com.google.rpc.RequestInfo;
import com.google.rpc.ResourceInfo;
import com.google.rpc.RetryInfo;
import io.github.celesteimage.image.v1.FailureInfo;
import io.grpc.Metadata;
import java.util.Base64;
import java.util.List;

/** JSON of messages, of error details and of metadata. */
final class Json {
  private static final List<Message> DETAILS =
      List.of(
          BadRequest.getDefaultInstance(),
          DebugInfo.getDefaultInstance(),
          ErrorInfo.getDefaultInstance(),
          FailureInfo.getDefaultInstance(),
          Help.getDefaultInstance(),
          LocalizedMessage.getDefaultInstance(),
          PreconditionFailure.getDefaultInstance(),
          QuotaFailure.getDefaultInstance(),
          RequestInfo.getDefaultInstance(),
          ResourceInfo.getDefaultInstance(),
          RetryInfo.getDefaultInstance());
  private static final TypeRegistry TYPES =
      TypeRegistry.newBuilder().add(DETAILS.stream().map(Message::getDescriptorForType).toList()).build();
  private static final JsonFormat.Printer PRINTER = JsonFormat.printer().usingTypeRegistry(TYPES);
  static final JsonFormat.Parser PARSER = JsonFormat.parser().usingTypeRegistry(TYPES);

  private Json() {}

  /** Returns a message in protobuf's JSON form. */
  static JsonElement of(Message message) {
    try {
      return JsonParser.parseString(PRINTER.print(message));
    } catch (InvalidProtocolBufferException error) {
      throw new IllegalArgumentException(error);
    }
  }

  /** Returns the details of a status, each unpacked into its generated class. */
  static JsonArray details(com.google.rpc.Status status) throws InvalidProtocolBufferException {
    JsonArray all = new JsonArray();
    if (status != null) {
      for (Any packed : status.getDetailsList()) {
        all.add(detail(packed));
      }
    }
    return all;
  }

  private static JsonObject detail(Any packed) throws InvalidProtocolBufferException {
    String type = packed.getTypeUrl().substring(packed.getTypeUrl().lastIndexOf('/') + 1);
    JsonObject detail = new JsonObject();
    detail.addProperty("@type", type);
    for (Message known : DETAILS) {
      if (packed.is(known.getClass())) {
        of(packed.unpack(known.getClass())).getAsJsonObject().asMap().forEach(detail::add);
        return detail;
      }
    }
    detail.addProperty("unknown", true);
    return detail;
  }

  /** Returns response metadata as arrays of strings. The values of keys that end in `-bin` become base64. */
  static JsonObject metadata(Metadata metadata) {
    JsonObject all = new JsonObject();
    if (metadata == null) {
      return all;
    }
    for (String key : metadata.keys()) {
      JsonArray values = new JsonArray();
      if (key.endsWith(Metadata.BINARY_HEADER_SUFFIX)) {
        metadata
            .getAll(Metadata.Key.of(key, Metadata.BINARY_BYTE_MARSHALLER))
            .forEach(value -> values.add(Base64.getEncoder().encodeToString(value)));
      } else {
        metadata.getAll(Metadata.Key.of(key, Metadata.ASCII_STRING_MARSHALLER)).forEach(values::add);
      }
      all.add(key, values);
    }
    return all;
  }
}
