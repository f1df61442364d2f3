// Rows of HTML that Python makes. It sends what has changed of them, and hears what is clicked or chosen.
export default {
  props: { head: String, caption: String, kind: String },
  template: `
    <table v-if="head" class="live" :class="kind">
      <caption>{{ caption }}</caption>
      <thead v-html="head"></thead>
      <tbody ref="body"></tbody>
    </table>
    <div v-else class="live" :class="kind" ref="body"></div>`,
  created() {
    this.items = new Map();
  },
  mounted() {
    this.$refs.body.addEventListener("click", (event) => this.act(event));
    this.$refs.body.addEventListener("keydown", (event) => this.press(event));
    this.$refs.body.addEventListener("change", (event) => this.choose(event));
    this.$refs.body.addEventListener("input", (event) => this.type(event));
  },
  methods: {
    patch({ set, order }) {
      // All at once: to parse thousands of rows one by one takes several times as long.
      const made = document.createElement("template");
      made.innerHTML = set.map(([, html]) => html).join("");
      const fresh = [...made.content.children];
      set.forEach(([key], number) => this.put(key, fresh[number]));
      if (order) this.arrange(order);
    },
    put(key, fresh) {
      const old = this.items.get(key);
      this.items.set(key, fresh);
      if (!old || !old.isConnected) return;
      // Whoever is at a button stays at it when its row is made anew.
      const held = old.contains(document.activeElement) ? document.activeElement : null;
      const place = held && [old, ...old.querySelectorAll("*")].indexOf(held);
      old.replaceWith(fresh);
      if (held) [fresh, ...fresh.querySelectorAll("*")][place]?.focus({ preventScroll: true });
    },
    arrange(order) {
      const body = this.$refs.body;
      const kept = new Set(order);
      for (const [key, element] of this.items) {
        if (kept.has(key)) continue;
        element.remove();
        this.items.delete(key);
      }
      let next = body.firstElementChild;
      for (const key of order) {
        const element = this.items.get(key);
        if (element === next) next = next.nextElementSibling;
        else body.insertBefore(element, next);
      }
    },
    act(event) {
      const found = event.target.closest("[data-action]");
      if (!found || found.disabled || ["SELECT", "INPUT"].includes(found.tagName)) return;
      if (window.getSelection()?.toString() && found.tagName === "TR") return;
      this.say(found, found.dataset.value);
    },
    press(event) {
      const is_row = event.target.tagName === "TR" && event.target.dataset.action;
      if (!is_row || !["Enter", " "].includes(event.key)) return;
      event.preventDefault();
      this.say(event.target, event.target.dataset.value);
    },
    choose(event) {
      if (event.target.tagName === "SELECT" && event.target.dataset.action) this.say(event.target, event.target.value);
    },
    type(event) {
      if (event.target.tagName !== "INPUT" || !event.target.dataset.action) return;
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.say(event.target, event.target.value), 150);
    },
    say(element, value) {
      const chosen = {};
      for (const one of this.$refs.body.querySelectorAll("select[name], input[name]")) chosen[one.name] = one.value;
      this.$emit("act", { action: element.dataset.action, value: value || "", chosen });
    },
  },
};
