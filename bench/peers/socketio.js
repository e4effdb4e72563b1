// socket.io as its documentation starts it: rooms, WebSocket only, no compression.
const { createServer } = require("http");
const { Server } = require("socket.io");
const http = createServer();
const io = new Server(http, { transports: ["websocket"], pingInterval: Number(process.argv[3]), pingTimeout: 600000 });
io.on("connection", (socket) => {
  socket.on("sub", (topic, done) => { socket.join(topic); done(); });
  socket.on("pub", (topic, text) => { io.to(topic).emit("m", text); });
});
const [host, port] = process.argv[2].split(":");
http.listen({ host, port: Number(port), backlog: 4096 });
