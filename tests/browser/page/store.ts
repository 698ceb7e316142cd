// A page that keeps numbers in IndexedDB and says of each when it is on disk: what the harness itself is tried with.

declare global {
  interface Window {
    kept?: (number: number) => Promise<void>;
    keep: (number: number) => Promise<void>;
    count: () => Promise<number>;
    link: () => Promise<string>;
  }
}

function database(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("numbers", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("numbers");
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  });
}

window.keep = async (number) => {
  const db = await database();
  await new Promise<void>((resolve, reject) => {
    const transaction = db.transaction("numbers", "readwrite", { durability: "strict" });
    transaction.objectStore("numbers").put(number, number);
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
  db.close();
  await window.kept?.(number);
};

window.count = async () => {
  const db = await database();
  const counted = await new Promise<number>((resolve, reject) => {
    const asking = db.transaction("numbers").objectStore("numbers").count();
    asking.onsuccess = () => resolve(asking.result);
    asking.onerror = () => reject(asking.error);
  });
  db.close();
  return counted;
};

// How a link ends, or that it is open.
window.link = () =>
  new Promise((resolve) => {
    const socket = new WebSocket(`ws://${location.host}/v1/sync`, "syncd.v1");
    socket.onopen = () => resolve("open");
    socket.onclose = (event) => resolve(`closed ${event.code}`);
  });

export {};
