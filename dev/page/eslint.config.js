// What the page's JavaScript is checked for: what eslint recommends, and some habits of this code.
import js from "@eslint/js";
import globals from "globals";

const page = "plugins/ghost_tracking/page/static";

export default [
  { ignores: ["**/node_modules/**", "**/vendor/**"] },
  js.configs.recommended,
  {
    rules: {
      "consistent-return": "error",
      eqeqeq: "error",
      "no-implicit-globals": "error",
      "no-param-reassign": ["error", { props: false }],
      "no-shadow": "error",
      "no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
      "no-use-before-define": ["error", { functions: false, variables: false }],
      "no-var": "error",
      "object-shorthand": "error",
      "prefer-const": "error",
    },
  },
  { files: [`${page}/*.js`], languageOptions: { globals: globals.browser } },
  { files: [`${page}/theme.js`], languageOptions: { sourceType: "script" } }, // runs before anything is drawn
];
