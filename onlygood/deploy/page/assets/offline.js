// built by `make page` from web/page, sha256 15119ad8cad60bb23be551a4743a621655f13586bc6544e53a00e1be888d841f
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
