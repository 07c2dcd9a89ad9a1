// built by `make page` from web/page, sha256 2f83b8c4a7ea6c0f5a4ceb945eb3e4a330bfe1656aecc924fffc635bc0644158
"use strict";
(() => {
  // page/offline.ts
  var worker = self;
  var OURS = `onlygood ${worker.registration.scope} `;
  var NAME = OURS + VERSION;
  worker.addEventListener("install", (event) => {
    const keep = async () => {
      const cache = await caches.open(NAME);
      await cache.addAll(FILES.map((file) => new Request(file, { cache: "reload" })));
    };
    event.waitUntil(keep());
  });
  worker.addEventListener("activate", (event) => {
    const tidy = async () => {
      const old = (await caches.keys()).filter((name) => name.startsWith(OURS) && name !== NAME);
      await Promise.all(old.map((name) => caches.delete(name)));
      await worker.clients.claim();
    };
    event.waitUntil(tidy());
  });
  worker.addEventListener("message", (event) => {
    if (event.data === "replace") void worker.skipWaiting();
  });
  worker.addEventListener("fetch", (event) => {
    const find = async () => {
      const cache = await caches.open(NAME);
      return await cache.match(event.request, { ignoreSearch: true }) ?? fetch(event.request);
    };
    event.respondWith(find());
  });
})();
