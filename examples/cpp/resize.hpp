// The resize of docs/model-file.md: bilinear with the triangle widened when shrinking, across and then down, with
// weights in steps of 2^-22 and rounded to 8 bits after each.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

struct Image {
  int width, height, channels;
  std::vector<uint8_t> pixels;  // rows from the top
};

struct Span {  // in single precision, which tells where `crop` cuts through a pixel
  float low, high;
};

// How much the pixel `first` of a row, and those after it, count for a new one.
struct Weights {
  int first;
  std::vector<int> shares;
};

constexpr int BITS = 22, ONE = 1 << BITS;

inline std::vector<Weights> weigh(int old, int size, Span span) {
  const double scale = double(span.high - span.low) / size, reach = std::max(scale, 1.0);
  std::vector<Weights> all(size);
  for (int i = 0; i < size; ++i) {
    const double center = span.low + (i + 0.5) * scale;
    const int first = std::max(0, int(center - reach + 0.5)), last = std::min(old, int(center + reach + 0.5));
    all[i].first = first;
    std::vector<double> triangle;
    for (int x = first; x < last; ++x) triangle.push_back(std::max(0.0, 1 - std::abs((x - center + 0.5) / reach)));
    const double total = std::accumulate(triangle.begin(), triangle.end(), 0.0);
    for (double height : triangle) all[i].shares.push_back(int(height / total * ONE + 0.5));
  }
  return all;
}

inline Image resize(const Image& image, int width, int height, Span across, Span down) {
  const int channels = image.channels;
  Image wide{width, image.height, channels, std::vector<uint8_t>(size_t(width) * image.height * channels)};
  const auto columns = weigh(image.width, width, across), rows = weigh(image.height, height, down);
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < channels; ++c) {
        const uint8_t* from = &image.pixels[(size_t(y) * image.width + columns[x].first) * channels + c];
        int sum = ONE / 2;
        for (int share : columns[x].shares) sum += share * *from, from += channels;
        wide.pixels[(size_t(y) * width + x) * channels + c] = uint8_t(std::min(255, sum >> BITS));
      }
  const size_t row = size_t(width) * channels;
  Image out{width, height, channels, std::vector<uint8_t>(row * height)};
  for (int y = 0; y < height; ++y)
    for (size_t x = 0; x < row; ++x) {
      const uint8_t* from = &wide.pixels[rows[y].first * row + x];
      int sum = ONE / 2;
      for (int share : rows[y].shares) sum += share * *from, from += row;
      out.pixels[y * row + x] = uint8_t(std::min(255, sum >> BITS));
    }
  return out;
}

// Grey (ITU-R 601, in steps of 2^-16) or RGB; an alpha is dropped.
inline Image to_channels(const Image& image, int channels) {
  const size_t count = size_t(image.width) * image.height;
  Image out{image.width, image.height, channels, std::vector<uint8_t>(count * channels)};
  for (size_t i = 0; i < count; ++i) {
    const uint8_t* from = &image.pixels[i * image.channels];
    const bool gray = image.channels < 3;
    if (channels == 3)
      for (int c = 0; c < 3; ++c) out.pixels[i * 3 + c] = from[gray ? 0 : c];
    else
      out.pixels[i] = gray ? from[0] : (from[0] * 19595 + from[1] * 38470 + from[2] * 7471 + 32768) >> 16;
  }
  return out;
}

// In the middle of a canvas of the border's median color.
inline Image pad(const Image& image, int width, int height) {
  const int channels = image.channels, left = (width - image.width) / 2, upper = (height - image.height) / 2;
  Image out{width, height, channels, std::vector<uint8_t>(size_t(width) * height * channels)};
  auto at = [&](int x, int y, int c) { return image.pixels[(size_t(y) * image.width + x) * channels + c]; };
  for (int c = 0; c < channels; ++c) {
    std::vector<int> border;
    for (int x = 0; x < image.width; ++x) border.push_back(at(x, 0, c)), border.push_back(at(x, image.height - 1, c));
    for (int y = 0; y < image.height; ++y) border.push_back(at(0, y, c)), border.push_back(at(image.width - 1, y, c));
    std::sort(border.begin(), border.end());
    const size_t half = border.size() / 2;  // of an even number
    const int median = (border[half - 1] + border[half]) / 2;
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x) {
        const bool inside = x >= left && x < left + image.width && y >= upper && y < upper + image.height;
        out.pixels[(size_t(y) * width + x) * channels + c] = inside ? at(x - left, y - upper, c) : uint8_t(median);
      }
  }
  return out;
}

inline Image prepare(const Image& decoded, int width, int height, int channels, const std::string& shape) {
  const Image image = to_channels(decoded, channels);
  const double across = double(width) / image.width, down = double(height) / image.height;
  const Span columns{0, float(image.width)}, rows{0, float(image.height)};
  if (shape == "stretch") return resize(image, width, height, columns, rows);
  if (shape == "crop") {
    const double cover = std::max(across, down);
    const double left = std::max(0.0, (image.width - width / cover) / 2);
    const double upper = std::max(0.0, (image.height - height / cover) / 2);
    return resize(image, width, height, {float(left), float(image.width - left)},
                  {float(upper), float(image.height - upper)});
  }
  if (shape != "pad") throw std::runtime_error("unknown resize " + shape);
  const double fit = std::min(across, down);  // nearbyint rounds halves to even, as the contract's Python does
  const int inner_width = std::max(1, int(std::nearbyint(image.width * fit)));
  const int inner_height = std::max(1, int(std::nearbyint(image.height * fit)));
  return pad(resize(image, inner_width, inner_height, columns, rows), width, height);
}
