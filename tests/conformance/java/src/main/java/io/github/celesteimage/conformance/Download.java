package io.github.celesteimage.conformance;

import com.google.gson.JsonObject;
import io.github.celesteimage.image.v1.ArtifactChunk;
import io.github.celesteimage.image.v1.ReadArtifactResponse;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/** The chunks of `ReadArtifact`: their size, their digest, and whether each follows the one before. */
final class Download {
  private final MessageDigest digest;
  private final long begin;
  private long size;
  private boolean contiguous = true;

  Download(long begin) throws NoSuchAlgorithmException {
    this.begin = begin;
    this.digest = MessageDigest.getInstance("SHA-256");
  }

  void receive(ReadArtifactResponse response) {
    if (!response.hasChunk()) {
      return;
    }
    ArtifactChunk chunk = response.getChunk();
    contiguous &= chunk.getOffset() == begin + size;
    size += chunk.getData().size();
    chunk.getData().asReadOnlyByteBufferList().forEach(digest::update);
  }

  JsonObject report() {
    JsonObject report = new JsonObject();
    report.addProperty("size_bytes", size);
    report.addProperty("sha256", HexFormat.of().formatHex(digest.digest()));
    report.addProperty("contiguous", contiguous);
    return report;
  }
}
