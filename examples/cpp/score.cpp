// score MODEL IMAGE...: the score, the p-value and the verdict of each image, by docs/model-file.md alone.
//
//   c++ -std=c++17 -O2 score.cpp -o score $(pkg-config --cflags --libs libonnxruntime stb nlohmann_json)
//
// needs onnxruntime 1.18 or newer, nlohmann/json and stb_image. stb_image does not apply the EXIF orientation, so
// this is for cameras that write none; it reads PNG, JPEG and BMP.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>

#include <nlohmann/json.hpp>
#include <onnxruntime_cxx_api.h>
#define STB_IMAGE_IMPLEMENTATION
#include <stb_image.h>

#include "resize.hpp"

using nlohmann::json;

// The share of good images, or parts, that look as odd.
double p_value(double score, const json& calibration) {
  const auto& scores = calibration["scores"];
  const auto& groups = calibration["groups"];  // null, or a number for each score
  std::map<int64_t, std::pair<int64_t, int64_t>> parts;  // images, and how many of them score as high
  for (size_t i = 0; i < scores.size(); ++i) {
    auto& [images, higher] = parts[groups.is_null() ? int64_t(i) : groups[i].get<int64_t>()];
    ++images;
    higher += scores[i].get<double>() >= score;
  }
  double shares = 0;
  for (const auto& [number, counts] : parts) shares += double(counts.second) / double(counts.first);
  return (1 + std::round(shares * 1e9) / 1e9) / double(parts.size() + 1);
}

Image decode(const char* path, bool full_jpegs) {
  const std::string name = path;
  const bool jpeg = name.rfind(".jpg") != std::string::npos || name.rfind(".jpeg") != std::string::npos;
  if (jpeg && !full_jpegs) throw std::runtime_error(name + ": reduced JPEGs, see The input in docs/model-file.md");
  if (stbi_is_16_bit(path)) throw std::runtime_error(name + ": more than 8 bits, see The input");
  Image image{};
  const std::unique_ptr<uint8_t, void (*)(void*)> pixels(
      stbi_load(path, &image.width, &image.height, &image.channels, 0), stbi_image_free);
  if (!pixels) throw std::runtime_error(name + ": " + stbi_failure_reason());
  const size_t bytes = size_t(image.width) * image.height * image.channels;
  image.pixels.assign(pixels.get(), pixels.get() + bytes);
  return image;
}

int main(int count, char** arguments) try {
  if (count < 3) throw std::runtime_error("usage: score MODEL IMAGE...");
  setenv("ORT_DISABLE_TELEMETRY", "1", 1);
  Ort::Env env;
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);
  Ort::Session session(env, arguments[1], options);
  Ort::AllocatorWithDefaultOptions allocator;
  const auto text = session.GetModelMetadata().LookupCustomMetadataMapAllocated("onlygood", allocator);
  if (!text) throw std::runtime_error("no metadata onlygood: an ONNX model, but not one of onlygood's");
  const json about = json::parse(text.get());
  if (about["schema_version"] != 3) throw std::runtime_error("another schema than 3");
  const json& input = about["input"];
  const std::array<int64_t, 4> shape{1, input["height"], input["width"], input["channels"]};
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);

  for (int i = 2; i < count; ++i) {
    const Image decoded = decode(arguments[i], input["jpeg"] == "full");
    Image image = prepare(decoded, input["width"], input["height"], input["channels"], input["resize"]);
    const auto images = Ort::Value::CreateTensor<uint8_t>(memory, image.pixels.data(), image.pixels.size(),
                                                          shape.data(), shape.size());
    const char *inputs[] = {"images"}, *outputs[] = {"score"};
    const auto results = session.Run(Ort::RunOptions{nullptr}, inputs, &images, 1, outputs, 1);
    const float score = results[0].GetTensorData<float>()[0];
    const double p = p_value(score, about["calibration"]);
    const bool anomalous = p <= about["calibration"]["max_false_alarms"].get<double>();
    std::printf("%.6g %.4g %s %s\n", score, p, anomalous ? "anomalous" : "normal", arguments[i]);
  }
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 2;
}
